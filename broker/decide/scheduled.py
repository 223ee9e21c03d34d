"""Schedules and what ran of them → what their jobs will hold: those that run now, and those of the next firings.

What a schedule submits is known before it comes, and is not to be learnt from history a second time: its runs are
taken out of the history that a forecast learns from, and its firings are added to each of the forecast's paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from math import exp, log
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from broker.decide.constraints import resolve
from broker.decide.duration import estimate
from broker.decide.expand import task_count
from broker.decide.schedules import upcoming_until
from broker.decide.steering import fits, share_of_node
from broker.decide.wording import number, seconds, several
from broker.decide.workload import Floats
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S
from broker.model.pools import Pool, PoolKind
from broker.model.projects import DEFAULT_PROJECT
from broker.model.runs import Run
from broker.model.schedules import Concurrency, Schedule

Bools = npt.NDArray[np.bool_]
NINE_OF_TEN = NormalDist().inv_cdf(0.9)
TOLD = 3  # schedules that a reason names


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A schedule, what it submits, and when it will in the time ahead."""

    schedule: Schedule
    spec: JobSpec
    at_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """What a schedule brings to a pool."""

    planned: Planned
    units: float  # of the pool that one firing holds
    share: float  # of firings that run in this pool
    past_s: tuple[float, ...]  # how long what has ended of it ran
    running: tuple[tuple[float, float], ...]  # of each run that has not: units, and seconds since it began


def planned(schedule: Schedule, spec: JobSpec, zone: tzinfo, now_ns: int, ahead_s: float, most: int) -> Planned | None:
    """What is to come of a schedule; None where it fires more than `most` times: so often history shows it as well."""
    until_ns = now_ns + round(ahead_s * NS_PER_S)
    times = upcoming_until(schedule, zone, now_ns, until_ns, most + 1)
    return Planned(schedule=schedule, spec=spec, at_ns=times) if len(times) <= most else None


def of_schedule(runs: Sequence[Run], schedules: Sequence[Planned]) -> tuple[list[Run], Mapping[str, list[Run]]]:
    """Runs that no schedule here has submitted, and those of each by its id."""
    if not schedules:
        return list(runs), {}  # of which there may be a million
    found: dict[str, list[Run]] = {each.schedule.id: [] for each in schedules}
    names = {each.schedule.id: each.schedule.name for each in schedules}
    rest = []
    for run in runs:
        job_id = run.attempt_id.rpartition("-a")[0].partition(".")[0]
        schedule = job_id.rpartition("-")[2]
        if job_id.startswith(f"{names.get(schedule)}-"):
            found[schedule].append(run)
        else:
            rest.append(run)
    return rest, found


def brings(pool: Pool, wanted: Planned, runs: Sequence[Run], now_ns: int) -> Coming | None:
    """What a schedule, whose runs these are, brings to a pool; None where that is nothing.

    To a cluster all that its nodes could hold, as in its history; to a serverless pool the part that ran there.
    """
    runs = [_as_of(run, now_ns) for run in runs if run.started_ns < now_ns]
    ways, _ = resolve(wanted.spec, pool)
    one = share_of_node(ways[0], pool.unit) if ways else 0.0
    shares = [share_of_node(run.resources, pool.unit) for run in runs]
    here = [run.pool == pool.name for run in runs]
    cluster = pool.kind is PoolKind.CLUSTER
    running = tuple(
        (share, max((now_ns - run.started_ns) / NS_PER_S, 0.0))
        for run, share, inside in zip(runs, shares, here, strict=True)
        if run.ended_ns is None and (cluster or inside) and fits(share)
    )
    share = 1.0 if cluster else sum(here) / len(here) if here else 0.0
    if not running and not (wanted.at_ns and fits(one) and share):
        return None
    return Coming(
        planned=wanted,
        units=one * wanted.spec.resources.num_nodes * task_count(wanted.spec) if fits(one) else 0.0,
        share=share,
        past_s=tuple((run.ended_ns - run.started_ns) / NS_PER_S for run in runs if run.ended_ns is not None),
        running=running,
    )


def _as_of(run: Run, now_ns: int) -> Run:
    """A run as it was known at a time."""
    return run if run.ended_ns is None or run.ended_ns <= now_ns else replace(run, ended_ns=None)


def load(
    coming: Sequence[Coming], now_ns: int, steps: int, step_s: float, paths: int, rng: np.random.Generator
) -> Floats:
    """(paths, steps) units that are held by what runs of schedules and by their firings from now on."""
    held = np.zeros((paths, steps))
    for each in coming:
        median_s, spread = _duration(each)
        most_s = each.planned.spec.max_duration_s or np.inf
        until = np.zeros(paths)  # when the last one of each path ends, in steps
        for units, ran_s in each.running:
            left = np.minimum(_left(median_s, spread, ran_s, paths, rng), max(most_s - ran_s, 0.0)) / step_s
            _hold(held, units, 0.0, left)
            until = np.maximum(until, left)
        for at_ns in each.planned.at_ns:
            begin = max((at_ns - now_ns) / NS_PER_S / step_s, 0.0)
            lasts = np.minimum(np.exp(log(median_s) + spread * rng.standard_normal(paths)), most_s) / step_s
            _fire(each, held, begin, until, lasts, rng.random(paths) < each.share)
    return held


def in_words(coming: Sequence[Coming], now_ns: int) -> str:
    """What is known of schedules, for a reason; in GPUs."""
    firing = [each for each in coming if each.planned.at_ns]
    soon = sorted(((each.planned.at_ns[0], each) for each in firing), key=lambda found: found[0])
    parts = [
        f"{_called(each.planned.schedule)}, {several(round(each.units, 2), 'GPU')} in "
        f"{seconds((at_ns - now_ns) / NS_PER_S)} for about {seconds(_duration(each)[0])}"
        for at_ns, each in soon[:TOLD]
    ]
    more = [f"{number(len(soon) - TOLD)} more"] if len(soon) > TOLD else []
    return f" Schedules add: {'; '.join([*parts, *more])}." if parts else ""


def _called(schedule: Schedule) -> str:
    """Its name, where everybody may see it: forecasts are no project's."""
    return schedule.name if schedule.project == DEFAULT_PROJECT else "one of a project"


def _fire(each: Coming, held: Floats, begin: float, until: Floats, lasts: Floats, here: Bools) -> None:
    """Adds one firing to the paths in which it runs here, and moves on when the last one ends."""
    concurrency = each.planned.schedule.concurrency
    if concurrency is Concurrency.FORBID:
        here = here & (until <= begin)
    elif concurrency is Concurrency.REPLACE:
        _hold(held, -each.units, begin, np.where(here, until, begin))
        until[here] = np.minimum(until[here], begin)
    ends = np.where(here, begin + lasts, begin)
    _hold(held, each.units, begin, ends)
    until[here] = np.maximum(until[here], ends[here])


def _duration(each: Coming) -> tuple[float, float]:
    """The median in seconds, and the standard deviation of the logarithm."""
    found = estimate(each.planned.spec, each.past_s)
    return found.p50_s, log(max(found.p90_s / found.p50_s, 1.0)) / NINE_OF_TEN


def _left(median_s: float, spread: float, ran_s: float, paths: int, rng: np.random.Generator) -> Floats:
    """Seconds that a run goes on, drawn from how long such runs last, given that it has lasted so long."""
    if not spread:
        return np.full(paths, max(median_s - ran_s, 0.0))
    lasts = NormalDist(log(median_s), spread)
    over = lasts.cdf(log(max(ran_s, 1e-9)))
    drawn = over + (1 - over) * rng.random(paths)
    return np.array([max(exp(lasts.inv_cdf(min(max(share, 1e-9), 1 - 1e-9))) - ran_s, 0.0) for share in drawn])


def _hold(held: Floats, units: float, begin: float, ends: Floats) -> None:
    """Adds units from a moment until each path's end, in steps; to the parts of steps that they cover."""
    slots = np.arange(held.shape[1])
    held += units * np.clip(np.minimum(ends[:, None], slots + 1) - np.maximum(begin, slots), 0.0, 1.0)
