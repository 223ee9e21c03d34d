"""What ran in a past time and what was paid for it → what other ways of buying would have cost for the same work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import targets
from broker.decide.demand import Demand
from broker.decide.market import Market
from broker.decide.outlook import came, counted
from broker.decide.steering import NO_ALTERNATIVE, QUEUE, market
from broker.decide.warm.fleet import play
from broker.decide.warm.steering import ran_anywhere
from broker.decide.wording import number, seconds, several
from broker.decide.workload import Floats
from broker.model.money import NS_PER_S, Money
from broker.model.pools import KeepWarm, Pool, PoolKind
from broker.model.runs import Run

FINE_S, COARSE_S = 60.0, 300.0
FINE_DAYS = 8.0  # times up to this long are counted in fine steps
SINGLE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another way to have bought the same work."""

    name: str
    title: str
    cost: Money
    hindsight: bool  # it needed to know what would come
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """One cluster and the serverless pools that can take its work, over a past time."""

    pool: str
    since_ns: int
    until_ns: int
    node_hours: float  # of work
    peak: float  # nodes busy in the busiest step
    paid: Money
    unknown: int  # charges without a price, which are not in `paid`
    alternatives: tuple[Alternative, ...]  # cheapest first
    notes: tuple[str, ...]

    @property
    def hindsight(self) -> Alternative:
        """The least that it could have cost."""
        return next(each for each in self.alternatives if each.name == "hindsight")

    @property
    def regret(self) -> float | None:
        """What was paid over what perfect hindsight would have; None where nothing was to be paid."""
        least = self.hindsight.cost.nanodollars
        return self.paid.nanodollars / least if least else None


def takes_work_of(other: Pool, pool: Pool, day: date) -> bool:
    """Whether a pool is a serverless one in which work of a cluster could run, at a known price."""
    found = market(pool, [other], day)
    return other.kind is PoolKind.SERVERLESS and found is not None and not _alone(found)


def counterfactual(
    pool: Pool,
    others: Sequence[Pool],
    runs: Sequence[Run],
    paid: Money,
    unknown: int,
    since_ns: int,
    until_ns: int,
    day: date,
    cold_start_s: float,
) -> Counterfactual | None:
    """The alternatives at the prices of `day`; None where the cluster's price is not known.

    `others` are the serverless pools that can take its work, `runs` what ran in any of them, `cold_start_s` how long
    their containers take to start.
    """
    terms = market(pool, others, day)
    if terms is None:
        return None
    span_s = (until_ns - since_ns) / NS_PER_S
    step_s = FINE_S if span_s <= FINE_DAYS * 86_400 else COARSE_S
    boot = math.ceil(pool.cold_start_s / step_s)
    terms = replace(terms, step_s=step_s, boot=boot)
    seen = [run for run in counted(runs, pool) if run.pool != QUEUE and run.started_ns < until_ns]
    busy = Demand(step_s=step_s, gpus=came(seen, pool, since_ns, step_s, max(round(span_s / step_s), 1), until_ns))
    found = [*_held(busy, terms), *_adaptive(busy, terms)]
    if not _alone(terms):
        found.append(_serverless(pool, others, seen, terms, since_ns, until_ns, cold_start_s))
    return Counterfactual(
        pool=pool.name,
        since_ns=since_ns,
        until_ns=until_ns,
        node_hours=float(busy.gpus.sum() * step_s / 3_600),
        peak=float(busy.gpus.max(initial=0.0)),
        paid=paid,
        unknown=unknown,
        alternatives=tuple(sorted(found, key=lambda each: each.cost.nanodollars)),
        notes=tuple(_notes(pool, others, terms, unknown, day)),
    )


def _alone(terms: Market) -> bool:
    """Whether nothing but the cluster can do its work."""
    return terms.serverless >= NO_ALTERNATIVE * terms.cluster * (1 - SINGLE)


def _held(busy: Demand, terms: Market) -> Iterator[Alternative]:
    """One size for all of the time: for the peak, and the best one."""
    peak = math.ceil(busy.gpus.max(initial=0.0) - SINGLE)
    yield Alternative(
        name="peak",
        title="cluster for the peak",
        cost=_static(peak, busy.gpus, terms),
        hindsight=True,
        note=_all_the_time(peak),
    )
    best = min(range(peak + 1), key=lambda size: _static(size, busy.gpus, terms).nanodollars)
    yield Alternative(
        name="best-static",
        title="best fixed cluster, the rest on serverless",
        cost=_static(best, busy.gpus, terms),
        hindsight=True,
        note=_all_the_time(best),
    )


def _all_the_time(nodes: int) -> str:
    return f"{several(nodes, 'node')} all the time"


def _static(size: int, gpus: Floats, terms: Market) -> Money:
    spilled = np.maximum(gpus - size, 0.0).sum()
    return _usd((terms.cluster * size * len(gpus) + terms.serverless * spilled) * terms.step_s / 3_600)


def _adaptive(busy: Demand, terms: Market) -> Iterator[Alternative]:
    """A cluster whose size follows: by the broker's policy, and with hindsight."""
    if not _alone(terms):
        wished = targets(busy, terms)
        yield Alternative(
            name="policy",
            title="the broker's policy, beginning with nothing seen",
            cost=_usd(fluid.cost(busy, terms, wished).total),
            hindsight=False,
            note=f"{number(round(float(wished.cluster_gpus.mean()), 2)) if len(busy) else 0} nodes on average",
        )
    yield Alternative(
        name="hindsight",
        title="perfect hindsight",
        cost=_usd(clairvoyant.optimum(busy, terms)),
        hindsight=True,
        note="nodes and serverless, each when it is cheaper",
    )


def _serverless(
    pool: Pool,
    others: Sequence[Pool],
    runs: Sequence[Run],
    terms: Market,
    since_ns: int,
    until_ns: int,
    cold_start_s: float,
) -> Alternative:
    """All of it in containers, as the pools keep them warm."""
    window_s = min((each.scaledown_window_s for each in others), default=0.0)
    jobs = ran_anywhere(runs, pool, since_ns, until_ns)
    played = play(jobs, KeepWarm(scaledown_window_s=window_s), cold_start_s)
    beside = played.paid_gpu_s - float((jobs.duration_s * jobs.gpus).sum())
    return Alternative(
        name="all-serverless",
        title="all serverless",
        cost=_usd(played.paid_gpu_s / 3_600 * terms.serverless),
        hindsight=False,
        note=f"{_usd(beside / 3_600 * terms.serverless)} of it for {played.cold_starts:,} cold starts of "
        f"{seconds(cold_start_s)} and idle tails of up to {seconds(window_s)}",
    )


def _usd(amount: float) -> Money:
    return Money.of_usd(str(round(amount, 9)))


def _notes(pool: Pool, others: Sequence[Pool], terms: Market, unknown: int, day: date) -> Iterator[str]:
    if _alone(terms):
        yield f"no serverless pool with a known price could take the work of {pool.name}"
    else:
        elsewhere = ", ".join(each.name for each in others)
        yield (
            f"the work is what ran in {pool.name}, and in {elsewhere} where its nodes could hold it; a node costs "
            f"${terms.cluster:.4g} an hour, its work on serverless ${terms.serverless:.4g}, as on {day}"
        )
    if unknown:
        yield f"{unknown} charges have no known price and are not in what was paid"
    yield "alternatives divide nodes without loss; what was paid did not: gangs and fragments cost more than this says"
