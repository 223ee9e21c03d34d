"""Forecasts and decisions that were kept, and what came → day by day, how far they were off and what that cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from broker.decide.capacity.newsvendor import busy_shares, worth_holding
from broker.decide.market import Market
from broker.decide.outlook import came, scenarios
from broker.decide.workload import Floats
from broker.model.foresight import NodesDecision, Outlook
from broker.model.money import NS_PER_S, Money
from broker.model.pools import Pool, PoolKind
from broker.model.runs import Run

DAY_NS = 86_400 * NS_PER_S
LOW, HIGH = 0.05, 0.95  # of the band that is to hold 90 % of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day (UTC) of one pool, in units. What is not known is None, with a reason in `note`."""

    begin_ns: int
    hours: float  # that were over when it was looked at
    busy: float  # on average
    peak: float  # the busiest hour
    forecast: float | None  # the median, on average, by the last forecast before the day
    low: float | None  # its 90 % band, on average
    high: float | None
    pinball: float | None  # mean loss of its quantiles
    coverage: float | None  # share of the hours in which the band held
    planned: float | None  # nodes that were to be there, on average over the time since the first decision
    up: float | None  # nodes that decisions found
    best_size: float | None  # the size that would have been best for the day, and the one that the forecast asked for
    forecast_size: float | None
    error_cost: Money | None  # what holding the second instead of the first would have cost more
    paid: Money | None  # in this pool
    note: str


def days(
    pool: Pool,
    outlooks: Sequence[Outlook],
    decisions: Sequence[NodesDecision],
    runs: Sequence[Run],
    market: Market | None,
    paid: dict[int, Money],
    now_ns: int,
    since_ns: int,
) -> tuple[Day, ...]:
    """One row for each day from that of `since_ns` to today; `paid` by the time at which a day begins."""
    begins = range(since_ns // DAY_NS * DAY_NS, now_ns, DAY_NS)
    return tuple(_day(pool, begin, outlooks, decisions, runs, market, paid.get(begin), now_ns) for begin in begins)


def _day(
    pool: Pool,
    begin_ns: int,
    outlooks: Sequence[Outlook],
    decisions: Sequence[NodesDecision],
    runs: Sequence[Run],
    market: Market | None,
    paid: Money | None,
    now_ns: int,
) -> Day:
    made = [each for each in outlooks if begin_ns - DAY_NS < each.at_ns <= begin_ns]
    held = _held(decisions, begin_ns, min(begin_ns + DAY_NS, now_ns))
    whole = came(runs, pool, begin_ns, 3_600.0, 24, now_ns)[: max((now_ns - begin_ns) // (3_600 * NS_PER_S), 0)]
    judged = _judged(pool, made[-1], begin_ns, runs, market, now_ns) if made else _Judged()
    return Day(
        begin_ns=begin_ns,
        hours=float(len(whole)),
        busy=_mean(whole),
        peak=float(whole.max(initial=0.0)),
        forecast=judged.median,
        low=judged.low,
        high=judged.high,
        pinball=judged.pinball,
        coverage=judged.coverage,
        planned=held[0],
        up=held[1],
        best_size=judged.best_size,
        forecast_size=judged.size,
        error_cost=judged.cost,
        paid=paid,
        note="; ".join(_notes(pool, made, market, decisions)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A forecast beside what came; None of what can't be told."""

    median: float | None = None
    low: float | None = None
    high: float | None = None
    pinball: float | None = None
    coverage: float | None = None
    size: float | None = None
    best_size: float | None = None
    cost: Money | None = None


def _judged(
    pool: Pool, outlook: Outlook, begin_ns: int, runs: Sequence[Run], market: Market | None, now_ns: int
) -> _Judged:
    step_ns = round(outlook.step_s * NS_PER_S)
    first = -((outlook.at_ns - begin_ns) // step_ns)
    over = (min(now_ns, begin_ns + DAY_NS) - outlook.at_ns) // step_ns
    rows = np.array(outlook.quantiles)[:, first:over]
    if not rows.shape[1]:
        return _Judged()
    actual = came(runs, pool, outlook.at_ns + first * step_ns, outlook.step_s, rows.shape[1], now_ns)
    low, high = (_at(outlook, rows, level) for level in (LOW, HIGH))
    size = best_size = cost = None
    if market is not None:
        size = _size(scenarios(outlook)[:, first:over], market)
        best_size = _size(actual[None], market)
        more = _cost(size, actual, market) - _cost(best_size, actual, market)
        cost = Money.of_usd(str(round(more * outlook.step_s / 3_600, 9)))
    return _Judged(
        median=_mean(_at(outlook, rows, 0.5)),
        low=_mean(low),
        high=_mean(high),
        pinball=_pinball(np.array(outlook.levels), rows, actual),
        coverage=float(((actual >= low - 1e-9) & (actual <= high + 1e-9)).mean()),
        size=size,
        best_size=best_size,
        cost=cost,
    )


def _at(outlook: Outlook, rows: Floats, level: float) -> Floats:
    """A quantile in each step."""
    return np.array([np.interp(level, outlook.levels, rows[:, step]) for step in range(rows.shape[1])])


def _pinball(levels: Floats, rows: Floats, actual: Floats) -> float:
    over = actual[None] - rows
    return float(np.maximum(levels[:, None] * over, (levels[:, None] - 1) * over).mean())


def _size(loads: Floats, market: Market) -> float:
    """Nodes worth holding for all of a time whose loads are one of several, (cases, steps)."""
    shares = busy_shares(np.zeros((1, loads.shape[1])), loads, np.ones(len(loads)), 1)
    return worth_holding(shares, market.breakeven, 1)


def _cost(size: float, actual: Floats, market: Market) -> float:
    """US dollars for each hour of a step."""
    return float(market.cluster * size * len(actual) + market.serverless * np.maximum(actual - size, 0.0).sum())


def _held(decisions: Sequence[NodesDecision], from_ns: int, until_ns: int) -> tuple[float | None, float | None]:
    """The nodes that were to be there and those that were, averaged from the first decision that is known on."""
    known = [each for each in decisions if each.at_ns < until_ns]
    before = [each for each in known if each.at_ns <= from_ns][-1:]
    within = [each for each in known if each.at_ns > from_ns]
    steps = [*before, *within]
    if not steps:
        return None, None
    edges = [max(each.at_ns, from_ns) for each in steps] + [until_ns]
    lasts = np.diff(edges)
    if not lasts.sum():
        return None, None
    planned, up = (np.average(counts, weights=lasts) for counts in zip(*_counts(steps), strict=True))
    return float(planned), float(up)


def _counts(decisions: Sequence[NodesDecision]) -> list[tuple[int, int]]:
    return [(each.nodes, each.up) for each in decisions]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _notes(
    pool: Pool, made: Sequence[Outlook], market: Market | None, decisions: Sequence[NodesDecision]
) -> Iterator[str]:
    if not made:
        yield "no forecast was kept in the day before"
    if pool.kind is PoolKind.SERVERLESS:
        return
    if market is None:
        yield "the pool has no price: what an error cost is not known"
    if not decisions:
        yield "the autopilot decided nothing"
