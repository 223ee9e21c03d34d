"""A workload → what a planner looks at first, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from broker.decide.demand import Demand, demand
from broker.decide.workload import Floats, Labels, Workload

STEP_S = 300.0
HOUR_STEPS = 12
QUANTILES = (0.1, 0.5, 0.9, 0.99)


def describe(history: Workload | Demand, breakeven: float) -> dict[str, Any]:
    """Sizes in GPUs, times in seconds, shares from 0 to 1."""
    busy = busy_gpus(history)
    shares = busy_shares(busy)
    found: dict[str, Any] = {
        "days": len(busy) * STEP_S / 86_400.0,
        "gpu_hours": float(busy.sum() * STEP_S / 3_600.0),
        "mean_gpus": float(busy.mean()),
        "peak_gpus": float(busy.max()),
        "breakeven": breakeven,
        "worth_holding": int(np.count_nonzero(shares > breakeven)),
        "busy_share_of_gpu": {str(k + 1): float(shares[k]) for k in _some(len(shares))},
        "daily_cycle": cycle(busy, 24),
        "weekly_cycle": cycle(busy, 168),
    }
    if isinstance(history, Workload):
        found |= _of_jobs(history)
        found["by_gpu_type"] = _parts(history, history.gpu_type, breakeven)
        found["by_kind"] = _parts(history, history.kind, breakeven)
    return found


def _parts(jobs: Workload, label: Labels, breakeven: float) -> dict[str, dict[str, float]]:
    """The demand of each GPU model, or class of jobs, on its own; nothing where there is but one."""
    present = np.unique(label.codes)
    if len(present) < 2:
        return {}
    found = {}
    for code in present:
        busy = demand(jobs.take(label.codes == code), STEP_S).gpus
        found[label.names[code] or "not said"] = {
            "gpu_hours": float(busy.sum() * STEP_S / 3_600.0),
            "mean_gpus": float(busy.mean()),
            "peak_gpus": float(busy.max()),
            "worth_holding": int(np.count_nonzero(busy_shares(busy) > breakeven)),
        }
    return dict(sorted(found.items(), key=lambda item: -item[1]["gpu_hours"]))


def week(busy: Floats) -> Floats:
    """Mean GPUs busy in each hour of the week, (7, 24), counted from the trace's first midnight; NaN where unseen."""
    hours = np.arange(len(busy)) // HOUR_STEPS % 168
    with np.errstate(invalid="ignore"):
        means = np.bincount(hours, weights=busy, minlength=168) / np.bincount(hours, minlength=168)
    return np.asarray(means.reshape(7, 24), np.float64)


def busy_gpus(history: Workload | Demand) -> Floats:
    """GPUs busy in each step of five minutes, or of the series' own."""
    return history.gpus if isinstance(history, Demand) else demand(history, STEP_S).gpus


def busy_shares(busy: Floats) -> Floats:
    """Of the first GPU, the second and so on, stacked on each other: for which share of the time each is busy."""
    levels = int(np.ceil(busy.max(initial=0.0)))
    ordered = np.sort(busy)
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    edges = np.arange(levels + 1.0)
    below = np.searchsorted(ordered, edges, side="right")
    # The area of the demand below each height; its increments are what each GPU is busy.
    area = total[below] + edges * (len(ordered) - below)
    return np.asarray(np.diff(area) / max(len(ordered), 1), np.float64)


def cycle(busy: Floats, hours: int) -> float | None:
    """How alike the demand is to itself so many hours before: autocorrelation of hourly means; None if too short."""
    hourly = busy[: len(busy) // HOUR_STEPS * HOUR_STEPS].reshape(-1, HOUR_STEPS).mean(1)
    if len(hourly) < 3 * hours or hourly.std() == 0:
        return None
    return float(np.corrcoef(hourly[hours:], hourly[:-hours])[0, 1])


def _of_jobs(jobs: Workload) -> dict[str, Any]:
    hours = jobs.gpus * jobs.duration_s / 3_600.0
    by_user = np.bincount(jobs.user.codes, weights=hours, minlength=len(jobs.user.names))
    top = np.argsort(-by_user)[:5]
    gaps = np.diff(jobs.submit_s) if len(jobs) > 1 else np.zeros(1)
    return {
        "jobs": len(jobs),
        "duration_s": {
            f"p{q * 100:g}": float(v) for q, v in zip(QUANTILES, np.quantile(jobs.duration_s, QUANTILES), strict=True)
        },
        "between_arrivals_s": {
            f"p{q * 100:g}": float(v) for q, v in zip(QUANTILES, np.quantile(gaps, QUANTILES), strict=True)
        },
        "gpus_of_a_job": {
            str(size): int(count) for size, count in zip(*np.unique(jobs.gpus, return_counts=True), strict=True)
        },
        "users": {
            jobs.user.names[u] or "unknown": float(by_user[u] / max(hours.sum(), 1e-9)) for u in top if by_user[u] > 0
        },
        "still_running": int(np.count_nonzero(~jobs.ended)),
    }


def _some(count: int) -> list[int]:
    """Some of the first numbers, closer together at the beginning."""
    if count <= 12:
        return list(range(count))
    return sorted({*range(4), *np.unique(np.geomspace(4, count - 1, 8).astype(int)).tolist()})
