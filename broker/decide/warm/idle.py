"""Jobs and what a cold start costs → how long a serverless container should stay warm after its job.

A container that is idle is paid for as if it ran; one that has gone costs a cold start when the next job comes. The
next job of a size gets the container that became idle last, so that how long each waits for its next job does not
depend on the window: the best window for what was seen is found exactly.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from broker.decide.compiled import compiled
from broker.decide.workload import Floats, Workload

LEAST_S, MOST_S = 2.0, 1_200.0  # what may be asked for: Modal's scaledown_window


@dataclass(frozen=True, slots=True)
class Idle:
    """Each time a container became idle: for how long, infinite where no job came, and how many GPUs it held."""

    gap_s: Floats
    gpus: Floats
    first_starts: int  # containers that are cold whatever the window

    def tail_gpu_s(self, window_s: float) -> float:
        """GPU-seconds paid for while idle."""
        return float((np.minimum(self.gap_s, window_s) * self.gpus).sum())

    def cold_starts(self, window_s: float) -> int:
        """How many jobs find no warm container."""
        return self.first_starts + int(((self.gap_s > window_s) & np.isfinite(self.gap_s)).sum())

    def least_gpu_s(self, cold_start_s: float) -> float:
        """GPU-seconds that are paid with hindsight: for each idle time, the cheaper of waiting and starting again."""
        ended = np.isfinite(self.gap_s)
        return float((np.minimum(self.gap_s[ended], cold_start_s) * self.gpus[ended]).sum())

    def cost_gpu_s(self, window_s: float, cold_start_s: float) -> float:
        """GPU-seconds paid for idleness and for cold starts after the first; `cold_start_s` as worth to its owner."""
        late = (self.gap_s > window_s) & np.isfinite(self.gap_s)
        return self.tail_gpu_s(window_s) + cold_start_s * float(self.gpus[late].sum())


def idle_times(workload: Workload) -> Idle:
    """When containers would idle if every job ran serverless, one at a time in a container of its size."""
    gaps, gpus, first_starts = [], [], 0
    for size in np.unique(workload.gpus):
        of_size = workload.gpus == size
        found, starts = _gaps(workload.submit_s[of_size], workload.duration_s[of_size])
        gaps.append(found)
        gpus.append(np.full(len(found), size))
        first_starts += starts
    empty: list[Floats] = [np.zeros(0)]
    return Idle(np.concatenate(gaps or empty), np.concatenate(gpus or empty), first_starts)


def best_window_s(idle: Idle, cold_start_s: float, least_s: float = LEAST_S, most_s: float = MOST_S) -> float:
    """The window within bounds that would have cost least; the shortest of those that cost the same."""
    order = np.argsort(idle.gap_s)
    gap_s, gpus = idle.gap_s[order], idle.gpus[order]
    within = np.isfinite(gap_s) & (gap_s <= most_s)
    windows = np.unique(np.concatenate([[least_s, most_s], np.maximum(gap_s[within], least_s)]))
    below = np.searchsorted(gap_s, windows, side="right")
    finite = int(np.isfinite(gap_s).sum())
    paid = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(gap_s), gap_s, 0.0) * gpus)])
    held = np.concatenate([[0.0], np.cumsum(gpus)])
    costs = paid[below] + windows * (held[-1] - held[below]) + cold_start_s * (held[finite] - held[below])
    return float(windows[np.argmin(costs)])


@compiled
def _gaps(submit_s: Floats, duration_s: Floats) -> tuple[Floats, int]:
    """Idle times of the containers of one size, in the order in which they became idle no more; first starts."""
    ends = [0.0 for _ in range(0)]
    idle = [0.0 for _ in range(0)]
    gaps = np.full(len(submit_s), np.inf)
    starts = reused = 0
    for job in range(len(submit_s)):
        while ends and ends[0] <= submit_s[job]:
            idle.append(heapq.heappop(ends))
        if idle:
            gaps[reused] = submit_s[job] - idle.pop()
            reused += 1
        else:
            starts += 1
        heapq.heappush(ends, submit_s[job] + duration_s[job])
    return gaps, starts
