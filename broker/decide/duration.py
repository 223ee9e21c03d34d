"""A job's specification and its past runs → how long it is thought to run, and why we think so.

Run times of a job spread like a lognormal: what counts is by which factor the 90th percentile exceeds the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from statistics import median
from typing import Final

from broker.decide.wording import seconds
from broker.model.jobs import JobSpec
from broker.model.placement import Duration

# Of a job of which nothing is known. Recorded GPU clusters have medians of minutes and long tails.
PRIOR_P50_S: Final = 300.0
PRIOR_P90_S: Final = 3_600.0
# Of a job with an estimate or with past runs: nine in ten end within this multiple of the median.
PRIOR_SPREAD: Final = 2.0
# How many past runs the prior spread is worth.
PRIOR_RUNS: Final = 3
_SHORTEST_S: Final = 1e-3


def estimate(spec: JobSpec, past_runs: Sequence[float]) -> Duration:
    """The expected run time from this job's past runs (seconds), else from the user's estimate, else from a prior.

    With few past runs the 90th percentile is drawn towards `PRIOR_SPREAD` times the median. Neither value exceeds the
    job's max_duration.
    """
    if past_runs:
        p50, p90 = _from_runs(past_runs)
        count = len(past_runs)
        source = f"median of {count} past runs of {spec.name}" if count > 1 else f"the one past run of {spec.name}"
    elif spec.est_runtime_s is not None:
        p50, p90 = spec.est_runtime_s, spec.est_runtime_s * PRIOR_SPREAD
        source = "your est_runtime"
    else:
        p50, p90 = PRIOR_P50_S, PRIOR_P90_S
        source = f"prior: no history; half of such jobs end within {seconds(p50)}, 90% within {seconds(p90)}"
    cap = spec.max_duration_s
    if cap is not None and cap < p90:
        source += f"; at most max_duration, {seconds(cap)}"
        p50, p90 = min(p50, cap), cap
    return Duration(p50_s=p50, p90_s=p90, source=source, runs=len(past_runs))


def is_prior(spec: JobSpec, duration: Duration) -> bool:
    """Whether an estimate rests on nothing that is known of this job."""
    return duration.runs == 0 and spec.est_runtime_s is None


def _from_runs(past_runs: Sequence[float]) -> tuple[float, float]:
    runs = sorted(max(run, _SHORTEST_S) for run in past_runs)
    p50 = median(runs)
    weight = len(runs) / (len(runs) + PRIOR_RUNS)
    spread = weight * log(max(_quantile(runs, 0.9) / p50, 1.0)) + (1 - weight) * log(PRIOR_SPREAD)
    return p50, p50 * exp(spread)


def _quantile(ordered: Sequence[float], share: float) -> float:
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def remaining_s(expected_s: float, ran_s: float) -> float:
    """How long a run is thought to go on: what is left of the expectation, and beyond it a tenth of what it has run."""
    return max(expected_s - ran_s, ran_s * 0.1, 0.0)
