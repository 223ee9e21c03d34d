"""The hybrid histogram policy: what keeping warm by it would cost.

Shahrad and others, Serverless in the Wild, USENIX ATC 2020, section 4: the idle times seen so far say after how long a
container is started again, ahead of the next job (their head), and until when it is kept (their tail). Where they say
little it is kept for the whole range; where most lie beyond the range, the next one is forecast. Each decision is made
when a container becomes idle, from idle times that had ended by then.

The paper looks at applications of one instance. Here each idle container is one: a job takes the container that became
idle last and is warm, and tells the histogram how long the last one had been idle. The paper forecasts by an ARIMA
model that is chosen anew each time; here it is an autoregression of order one, fitted by least squares.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from broker.decide.compiled import compiled
from broker.decide.warm.fleet import Ints, Jobs, Played, shapes_of
from broker.decide.workload import Floats, Workload

HEAD, TAIL = 0.05, 0.99
SURE = 2.0  # coefficient of variation of the bins' counts, from which on the histogram is trusted
BEYOND = 0.5  # share of idle times out of range, from which on the next is forecast
MARGIN, FORECAST_MARGIN = 0.10, 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Its resolution and reach, the paper's by default."""

    bin_s: float = 60.0
    bins: int = 240


def play_histogram(
    workload: Workload, cold_start_s: float, histogram: Histogram | None = None, *, counted_from_s: float = 0.0
) -> Played:
    """Runs every job in containers kept by the policy. What begins before `counted_from_s` is learnt from alone."""
    terms = histogram or Histogram()
    shape, gpus = shapes_of(workload)
    jobs = Jobs(workload.submit_s, workload.duration_s, shape, gpus)
    sums = _play(jobs, terms.bin_s, terms.bins, cold_start_s, counted_from_s)
    cold, cold_gpus, ahead, ahead_gpu_s, idle, held, counted = map(float, sums)
    return Played(
        jobs=int(counted),
        cold_starts=int(cold),
        cold_job_gpus=cold_gpus,
        started_ahead=int(ahead),
        held_gpu_s=held,
        cold_gpu_s=cold_start_s * cold_gpus + ahead_gpu_s,
        ahead_gpu_s=ahead_gpu_s,
        idle_gpu_s=idle,
    )


COLD, COLD_GPUS, AHEAD, AHEAD_GPU_S, IDLE, HELD, COUNTED = range(7)
BACK, UNTIL, SINCE = range(3)  # of a container, seconds: up again from, up until, and when it became idle


@compiled
def _play(jobs: Jobs, bin_s: float, bins: int, cold_s: float, from_s: float) -> Floats:
    sums = np.zeros(7)
    counts = np.zeros((len(jobs.gpus), bins + 1), np.int64)  # the last: out of range
    moments = np.zeros((len(jobs.gpus), 5))  # of idle times x and the ones before, w: n, Σw, Σx, Σw², Σwx
    latest = np.full(len(jobs.gpus), -1.0)
    ends = [(0.0, 0) for _ in range(0)]
    idle = [[(0.0, 0.0, 0.0) for _ in range(0)] for _ in range(len(jobs.gpus))]
    for job in range(len(jobs.submit_s)):
        now, shape = jobs.submit_s[job], jobs.shape[job]
        while ends and ends[0][0] <= now:
            ended_s, of = heapq.heappop(ends)
            back_s, until_s = _windows(counts[of], moments[of], latest[of], bin_s)
            idle[of].append((ended_s + back_s, ended_s + until_s, ended_s))
        counted, gpus = now >= from_s, jobs.gpus[shape]
        if idle[shape]:
            latest[shape] = _learn(counts[shape], moments[shape], latest[shape], now - idle[shape][-1][SINCE], bin_s)
        warm = _take(idle[shape], sums, now, gpus, cold_s, from_s)
        starts_s = now if warm else now + cold_s
        if counted:
            sums[COUNTED] += 1
            sums[COLD] += not warm
            sums[COLD_GPUS] += 0.0 if warm else gpus
            sums[HELD] += (starts_s - now + jobs.duration_s[job]) * gpus
        heapq.heappush(ends, (starts_s + jobs.duration_s[job], shape))
    while ends:
        ended_s, of = heapq.heappop(ends)
        back_s, until_s = _windows(counts[of], moments[of], latest[of], bin_s)
        _pay(sums, (ended_s + back_s, ended_s + until_s, ended_s), np.inf, jobs.gpus[of], cold_s, from_s)
    for of in range(len(idle)):
        for each in idle[of]:
            _pay(sums, each, np.inf, jobs.gpus[of], cold_s, from_s)
    return sums


@compiled
def _take(
    idle: list[tuple[float, float, float]], sums: Floats, now: float, gpus: float, cold_s: float, from_s: float
) -> bool:
    """Takes the container that became idle last and is warm; without one, the last starts again, cold."""
    for place in range(len(idle) - 1, -1, -1):
        if idle[place][BACK] <= now <= idle[place][UNTIL]:
            _pay(sums, idle[place], now, gpus, cold_s, from_s)
            del idle[place]
            return True
    if idle:
        _pay(sums, idle[-1], now, gpus, cold_s, from_s)
        del idle[-1]
    return False


@compiled
def _pay(sums: Floats, each: tuple[float, float, float], now: float, gpus: float, cold_s: float, from_s: float) -> None:
    """What an idle container has cost by now, where it became idle in the time that counts."""
    back_s, until_s, since_s = each
    if since_s < from_s:
        return
    if back_s > since_s and now >= back_s:
        sums[AHEAD] += 1
        sums[AHEAD_GPU_S] += cold_s * gpus
    sums[IDLE] += max(min(now, until_s) - back_s, 0.0) * gpus


@compiled
def _learn(counts: Ints, moments: Floats, before_s: float, idle_s: float, bin_s: float) -> float:
    """Counts an idle time, and the one before it, which is what the next such is forecast from."""
    counts[min(int(idle_s / bin_s), len(counts) - 1)] += 1
    if before_s >= 0:
        moments += np.array([1.0, before_s, idle_s, before_s * before_s, before_s * idle_s])
    return idle_s


@compiled
def _windows(counts: Ints, moments: Floats, latest_s: float, bin_s: float) -> tuple[float, float]:
    """After how many idle seconds a container is up again, and until when; 0: it stays up."""
    inside, bins = counts[:-1], len(counts) - 1
    seen, beyond = inside.sum(), counts[-1]
    if beyond and beyond >= BEYOND * (seen + beyond):
        expected_s = _expected(moments, latest_s)
        return (1 - FORECAST_MARGIN) * expected_s, (1 + FORECAST_MARGIN) * expected_s
    mean = seen / bins
    if not seen or inside.std() < SURE * mean:
        return 0.0, bins * bin_s
    head = tail = -1
    upto = 0
    for place in range(bins):
        upto += inside[place]
        if head < 0 and upto >= HEAD * seen:
            head = place
        if tail < 0 and upto >= TAIL * seen:
            tail = place
    return (1 - MARGIN) * head * bin_s, (1 + MARGIN) * (tail + 1) * bin_s


@compiled
def _expected(moments: Floats, latest_s: float) -> float:
    """The next idle time by an autoregression of order one; without one, the last."""
    count, before, after, squares, products = moments
    spread = count * squares - before * before
    if count < 2 or spread <= 1e-9 * max(squares, 1.0):
        return latest_s
    slope = min(max((count * products - before * after) / spread, -1.0), 1.0)
    expected_s: float = max((after - slope * before) / count + slope * latest_s, 0.0)
    return expected_s
