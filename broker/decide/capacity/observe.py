"""A history → what a decider sees as a step begins: how many GPUs are busy now, and were in each step before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.demand import Demand, demand
from broker.decide.workload import Floats, Workload

History = Workload | Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Both arrays have one element a step. The decision for step t may use `level[: t + 1]` and `demand[:t]`."""

    level: Floats  # GPUs busy at the very start of the step
    demand: Floats  # GPUs busy on average over the step

    def above(self, held_gpus: Floats) -> Seen:
        """What is left for others when so many GPUs of each step are there already."""
        return Seen(
            level=np.maximum(self.level - held_gpus, 0.0),
            demand=np.maximum(self.demand - held_gpus, 0.0),
        )


def see(history: History, step_s: float, until_s: float | None = None) -> Seen:
    """What was seen over the steps of the history; or over those begun before `until_s`, and the one that begins then.

    Of that last step nothing but its start is known, so its demand is that of the jobs that run as it begins.
    """
    if isinstance(history, Demand):
        busy = history.gpus
        level = np.concatenate([[0.0], busy[:-1]]) if len(busy) else busy
        return Seen(level=level, demand=busy)
    if until_s is None:
        busy = demand(history, step_s).gpus
        return Seen(level=_running_at(history, step_s, len(busy)), demand=busy)
    busy = demand(history, step_s, until_s).gpus
    level = _running_at(history, step_s, len(busy) + 1)
    return Seen(level=level, demand=np.append(busy, level[-1]))


def _running_at(workload: Workload, step_s: float, steps: int) -> Floats:
    """GPUs of the jobs that had been submitted and had not ended as each step began."""
    times_s = np.arange(steps) * step_s
    end_s = np.where(workload.ended, workload.end_s, np.inf)
    order = np.argsort(end_s, kind="stable")
    begun = np.concatenate([[0.0], np.cumsum(workload.gpus)])
    over = np.concatenate([[0.0], np.cumsum(workload.gpus[order])])
    before = np.searchsorted(workload.submit_s, times_s, side="left")
    ended = np.searchsorted(end_s[order], times_s, side="right")
    return np.asarray(np.maximum(begun[before] - over[ended], 0.0), np.float64)
