"""A workload and rules → between what cost and waits lie on workloads like it, in parallel.

Each replicate is the workload's blocks of time in another order (see `simulator.resample`), with failures and estimates
of its own. All rules are played on the same replicates: the difference of two is not that of their workloads.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from broker.decide.workload import Floats, Workload
from broker.model.errors import InvalidInput
from simulator.jobs.rules import live_rules, rules
from simulator.jobs.table import Played, Runs
from simulator.jobs.terms import Terms
from simulator.resample import DAY_S, WEEK_S, resampled
from simulator.virtual.result import played

BAND = (5, 95)  # percentiles
FEWEST = 4  # blocks that a workload must have
Interval = tuple[float, float]
Found = dict[str, tuple[float, float]]  # by rule: cost and mean wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Of one rule: in nine of ten workloads like this one, it would have been between these."""

    cost: Interval
    mean_wait_s: Interval
    over_best: Interval  # cost over that of the cheapest rule, of those that need no hindsight


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is played in each replicate."""

    workload: Workload
    terms: Terms
    names: tuple[str, ...]
    usable: frozenset[str]  # those of them that need no hindsight
    size: int  # of fixed clusters: chosen before, not for the replicate
    error: float

    @property
    def block_s(self) -> float:
        """Weeks where there are enough of them, else days. Raises `InvalidInput` where there are too few of those."""
        last_s = float(self.workload.submit_s[-1])
        if last_s < (FEWEST - 1) * DAY_S:
            raise InvalidInput(f"the trace covers {last_s / DAY_S:.1f} days: intervals need {FEWEST}")
        return WEEK_S if last_s >= (FEWEST - 1) * WEEK_S else DAY_S


def intervals(
    case: Case, replicates: int, processes: int | None = None, ray: str | None = None
) -> dict[str, Intervals]:
    """Plays so many replicates; on the Ray cluster at an address, else in processes of this machine.

    The result depends on neither. Raises `InvalidInput` for a workload that is too short.
    """
    case.block_s  # noqa: B018 - refused before anything is started
    seeds = range(replicates)
    found = list(_on_ray(case, seeds, ray) if ray else _here(case, seeds, processes or os.cpu_count() or 1))
    usable = case.usable or frozenset(case.names)
    return {name: _of(found, name, usable) for name in case.names}


def replicate(case: Case, seed: int) -> Found:
    """One resampled workload under each rule."""
    other = resampled(case.workload, seed, case.block_s)
    if not isinstance(other, Workload):
        raise ValueError("a workload resampled is a workload")
    terms = replace(case.terms, seed=case.terms.seed + seed)
    there = {**rules(other, terms, case.size, case.error), **live_rules(other, terms, case.error)}
    results = {name: played(other, terms, there[name].rule) for name in case.names}
    return {name: (result.cost, result.waits.mean_s) for name, result in results.items()}


def _here(case: Case, seeds: Iterable[int], processes: int) -> Iterator[Found]:
    if processes == 1:
        yield from (replicate(case, seed) for seed in seeds)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_remember, initargs=(case,)) as pool:
        yield from pool.map(_remembered, seeds)


_CASE: list[Case] = []  # of this process: sent once, not with every seed


def _remember(case: Case) -> None:
    _CASE[:] = [case]


def _remembered(seed: int) -> Found:
    return replicate(_CASE[0], seed)


def _on_ray(case: Case, seeds: Iterable[int], address: str) -> Iterator[Found]:
    """The simulator must be installed on its nodes."""
    import ray

    ray.init(address=address, log_to_driver=False, configure_logging=False)
    try:
        kept, task = ray.put(case), ray.remote(replicate)
        yield from ray.get([task.remote(kept, seed) for seed in seeds])
    finally:
        ray.shutdown()


def _of(found: list[Found], name: str, usable: frozenset[str]) -> Intervals:
    costs, waits = (np.array([each[name][column] for each in found]) for column in (0, 1))
    best = np.array([min(each[other][0] for other in usable) for each in found])
    ratios = np.divide(costs, best, out=np.ones_like(costs), where=best > 0)
    return Intervals(cost=_band(costs), mean_wait_s=_band(waits), over_best=_band(ratios))


def _band(values: Floats) -> Interval:
    low, high = np.percentile(values, BAND)
    return float(low), float(high)


def with_intervals(runs: Runs, found: dict[str, Intervals]) -> dict[str, Played]:
    """The runs with their intervals."""
    return {
        name: replace(
            played, interval=found[name].cost, over_best=found[name].over_best, mean_wait_s=found[name].mean_wait_s
        )
        for name, played in runs.items()
    }
