"""What ran in a serverless pool and how long its containers take to start → how to keep them warm now, with the reason.

Sizes are shares of the largest container that the pool may have. A setting is changed at once where that keeps a
promise, and otherwise only when it has been worth while several times in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from broker.decide.steering import PATIENCE, share_of_node
from broker.decide.warm.choose import Bounds, Promise, Wanted, choose
from broker.decide.warm.fleet import Played, play
from broker.decide.wording import seconds
from broker.decide.workload import Workload
from broker.model.money import NS_PER_S
from broker.model.pools import KeepWarm, Pool
from broker.model.runs import Run

WORTH_WHILE = 0.10  # of what is paid beside the work
FEW = 10  # jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStep:
    """What follows: the setting to have now. `other` counts wishes in a row for another one than there is."""

    setting: KeepWarm
    other: int
    reason: str


def wanted(pool: Pool, cold_starts_s: Sequence[float]) -> Wanted | None:
    """What to keep containers warm for; None where nothing is known of how long they take to start."""
    limits = pool.warm
    cold_start_s = median(cold_starts_s) if cold_starts_s else pool.cold_start_s
    if not cold_start_s:
        return None
    promised = limits.start_within_s
    return Wanted(
        cold_start_s=cold_start_s,
        worth_s=limits.worth_s,
        promise=None if promised is None else Promise(within_s=promised, share=limits.start_share),
        bounds=Bounds(
            least_window_s=limits.least_window_s,
            most_window_s=limits.most_window_s,
            least_containers=limits.least_containers,
            most_containers=limits.most_containers,
        ),
    )


def ran(runs: Sequence[Run], pool: Pool, now_ns: int) -> tuple[Workload, float]:
    """What ran in a pool as jobs, and what their clock shows now.

    Those that need the same environment and size can use each other's containers.
    """
    here = [run for run in runs if run.pool == pool.name]
    begin_ns = min((run.started_ns for run in here), default=now_ns)
    ends = [run.ended_ns if run.ended_ns is not None else now_ns for run in here]
    jobs = Workload.of(
        [(run.started_ns - begin_ns) / NS_PER_S for run in here],
        [max(end - run.started_ns, 0) / NS_PER_S for run, end in zip(here, ends, strict=True)],
        [min(share_of_node(run.resources, pool.unit), 1.0) for run in here],
        ended=[run.ended_ns is not None for run in here],
        kind=[f"{run.environment}/{run.resources}" for run in here],
    )
    return jobs, (now_ns - begin_ns) / NS_PER_S


def ran_anywhere(runs: Sequence[Run], pool: Pool, since_ns: int, until_ns: int) -> Workload:
    """The parts of runs that lie in a time, as jobs whose sizes are shares of a pool's unit, wherever they ran."""
    within = [run for run in runs if run.started_ns < until_ns and (run.ended_ns is None or run.ended_ns > since_ns)]
    begins = [max(run.started_ns, since_ns) for run in within]
    ends = [min(run.ended_ns, until_ns) if run.ended_ns is not None else until_ns for run in within]
    return Workload.of(
        [(begin - since_ns) / NS_PER_S for begin in begins],
        [(end - begin) / NS_PER_S for begin, end in zip(begins, ends, strict=True)],
        [min(share_of_node(run.resources, pool.unit), 1.0) for run in within],
        kind=[f"{run.environment}/{run.resources}" for run in within],
    )


def steer_warm(seen: tuple[Workload, float], aim: Wanted, now: KeepWarm, other: int) -> WarmStep:
    """From how containers are kept now to how they should be, by jobs seen until a time."""
    jobs, until_s = seen
    if len(jobs) < FEW:
        few = f"{len(jobs)} jobs have been seen, {FEW} are needed to choose by"
        return WarmStep(setting=_within(now, aim.bounds), other=0, reason=few)
    choice = choose(jobs, aim, until_s)
    if choice.setting == now:
        return WarmStep(setting=now, other=0, reason=choice.reason)
    before = play(jobs, now, aim.cold_start_s, until_s=until_s)
    if not aim.kept(before) and aim.broken(choice.played) < aim.broken(before):
        return WarmStep(setting=choice.setting, other=0, reason=f"{choice.reason}; now it is broken")
    if _within(now, aim.bounds) != now:
        return WarmStep(setting=choice.setting, other=0, reason=f"{choice.reason}; what is set is beyond the limits")
    gain = _gain(before, play(jobs, choice.setting, aim.cold_start_s, until_s=until_s), aim)
    text = f"{choice.reason}; {_than(now)} {gain:.0%} more is paid beside the work"
    if gain < WORTH_WHILE:
        return WarmStep(setting=now, other=0, reason=f"{text}, too little to change for")
    if other + 1 < PATIENCE:
        return WarmStep(setting=now, other=other + 1, reason=f"{text}; kept for now, in case that passes")
    return WarmStep(setting=choice.setting, other=other + 1, reason=text)


def _gain(before: Played, after: Played, aim: Wanted) -> float:
    """By how much more the setting that is there costs beside the work; infinite where the other costs nothing."""
    work = after.held_gpu_s - (after.cold_gpu_s - after.ahead_gpu_s)
    beside = [played.cost_gpu_s(aim.worth_s) - work for played in (before, after)]
    return beside[0] / beside[1] - 1 if beside[1] > 0 else float(beside[0] > 0)


def _within(setting: KeepWarm, bounds: Bounds) -> KeepWarm:
    """A setting, brought within limits."""
    return KeepWarm(
        scaledown_window_s=min(max(setting.scaledown_window_s, bounds.least_window_s), bounds.most_window_s),
        min_containers=min(max(setting.min_containers, bounds.least_containers), bounds.most_containers),
        buffer_containers=min(setting.buffer_containers, bounds.most_containers),
    )


def _than(now: KeepWarm) -> str:
    count = now.min_containers + now.buffer_containers
    return f"with {seconds(now.scaledown_window_s)}{f' and {count} kept' if count else ''}, as now,"
