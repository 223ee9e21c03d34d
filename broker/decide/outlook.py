"""What ran and what waits → how many units of a pool will be busy, hour by hour, as it can be kept and read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import numpy as np

from broker.decide.demand import demand
from broker.decide.forecast import LEVELS, Forecast, forecast
from broker.decide.pool_state import Expected
from broker.decide.scheduled import Planned, brings, in_words, load, of_schedule
from broker.decide.steering import NO_ALTERNATIVE, QUEUE, fits, market, shares, workload
from broker.decide.workload import Floats
from broker.model.foresight import LOOK_BACK_S, Outlook
from broker.model.money import NS_PER_S
from broker.model.pools import Pool, PoolKind
from broker.model.runs import Run

STEP_S = 3_600.0
STEPS = 48
PATHS = 200  # where nothing but schedules says what comes
SCENARIOS = 40  # equally likely levels at which a band is read
_DIGITS = 4


def counted(runs: Sequence[Run], pool: Pool) -> list[Run]:
    """The runs that a pool's busy units are counted from.

    Of a cluster, all that its nodes could hold, wherever it ran: what went to serverless is why it might be larger. Of
    a serverless pool, what ran in it.
    """
    if pool.kind is PoolKind.SERVERLESS:
        runs = [run for run in runs if run.pool == pool.name]
    return [run for run, share in zip(runs, shares(runs, pool.unit), strict=True) if fits(share)]


def foresee(pool: Pool, runs: Sequence[Run], now_ns: int, schedules: Sequence[Planned] = ()) -> Outlook | None:
    """The forecast from now on; None where nothing has run, waits or is scheduled, so that there is nothing to say.

    `schedules` are those that are known now: what they will submit is added to what the rest of history says.
    """
    known = [each for each in schedules if each.schedule.created_ns <= now_ns]
    rest, submitted = of_schedule(runs, known)
    coming = [each for wish in known if (each := brings(pool, wish, submitted[wish.schedule.id], now_ns)) is not None]
    seen = counted(rest, pool)
    began_ns = min((run.started_ns for run in seen), default=now_ns)
    learnt = any(run.pool != QUEUE for run in seen) and began_ns < now_ns
    if not learnt and not coming:
        return None
    rng = np.random.default_rng(now_ns // NS_PER_S)
    found = _learnt(seen, pool, began_ns, now_ns, rng) if learnt else None
    paths = found.paths if found else np.zeros((PATHS, STEPS))
    paths = paths + load(coming, now_ns, STEPS, STEP_S, len(paths), rng)
    rows = np.round(np.quantile(paths, LEVELS, axis=0), _DIGITS)
    reason = (found.reason if found else "No other job has run.") + in_words(coming, now_ns)
    return Outlook(
        pool=pool.name,
        at_ns=now_ns,
        step_s=STEP_S,
        levels=tuple(map(float, LEVELS)),
        quantiles=tuple(tuple(map(float, row)) for row in rows),
        coverage=found.coverage if found else None,
        pinball=found.pinball if found else None,
        reason=reason.replace("GPU", "node" if pool.kind is PoolKind.CLUSTER else "container"),
    )


def _learnt(seen: Sequence[Run], pool: Pool, began_ns: int, now_ns: int, rng: np.random.Generator) -> Forecast:
    """What history says."""
    history_s = min((now_ns - began_ns) / NS_PER_S, LOOK_BACK_S)
    return forecast(workload(seen, pool.unit, now_ns, history_s), history_s, STEPS, STEP_S, rng)


def scenarios(outlook: Outlook) -> Floats:
    """Equally likely numbers of busy units, (scenarios, steps), read off the quantiles."""
    at = (np.arange(SCENARIOS) + 0.5) / SCENARIOS
    rows = np.array(outlook.quantiles)
    return np.stack([np.interp(at, outlook.levels, rows[:, step]) for step in range(rows.shape[1])], axis=1)


def expected(outlook: Outlook, pool: Pool, others: Sequence[Pool], units: int, day: date) -> Expected | None:
    """What placements need to know of it; None where no other pool at a known price could take a cluster's work."""
    terms = market(pool, others, day) if pool.kind is PoolKind.CLUSTER else None
    if terms is None or terms.serverless >= NO_ALTERNATIVE * terms.cluster:
        return None
    full = (scenarios(outlook) > units + 1e-9).mean(axis=0)
    return Expected(
        at_ns=outlook.at_ns,
        step_s=outlook.step_s,
        full=tuple(map(float, full)),
        usd_per_unit_hour=Decimal(str(round(terms.serverless, 9))),
    )


def came(runs: Sequence[Run], pool: Pool, from_ns: int, step_s: float, steps: int, now_ns: int) -> Floats:
    """The units that were busy on average in each of some steps; zeros after now."""
    seen = [run for run in counted(runs, pool) if run.pool != QUEUE and run.started_ns < from_ns + steps * step_s * 1e9]
    until_ns = min(now_ns, from_ns + round(steps * step_s * NS_PER_S))
    within = [run for run in seen if run.ended_ns is None or run.ended_ns > from_ns]
    if not within:
        return np.zeros(steps)
    span_s = (until_ns - from_ns) / NS_PER_S
    moved = workload(within, pool.unit, until_ns, span_s)
    busy = demand(moved, step_s, steps * step_s + 0.5 * step_s).gpus
    return busy[:steps]
