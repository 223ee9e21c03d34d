"""A history and a time → how many GPUs will be busy from then on: sample paths, quantiles, and the reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from broker.decide.demand import Demand
from broker.decide.forecast.backtest import PRIOR, Backtest, backtest
from broker.decide.forecast.because import because
from broker.decide.forecast.calibration import Calibration
from broker.decide.forecast.models import MODELS, mixture, unknown
from broker.decide.forecast.past import DAY_S, Past, days_before, known_at
from broker.decide.workload import Floats, Workload

PATHS = 200
FINE_S = 2 * DAY_S  # up to this far ahead each step has its own level
SLOT_S = 3_600.0  # beyond, steps shorter than this share one


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Busy GPUs in each step from `now_s` on, in sample paths that are equally likely."""

    now_s: float
    step_s: float
    paths: Floats  # (paths, steps)
    models: tuple[tuple[str, float], ...]  # of what it is mixed, and in which shares; largest first
    coverage: float | None  # share of time in which its 90 % band held one day ahead; None where none has been seen
    pinball: float | None  # mean loss of its quantiles one day ahead, in GPUs
    reason: str

    def quantiles(self, levels: Sequence[float]) -> Floats:
        """GPUs that are not exceeded with these probabilities in each step, (levels, steps)."""
        found: Floats = np.quantile(self.paths, levels, axis=0)
        return found


def forecast(
    history: Workload | Demand,
    now_s: float,
    horizon_steps: int,
    step_s: float,
    rng: np.random.Generator,
    paths: int = PATHS,
) -> Forecast:
    """Uses what was known at `now_s`: of a workload, as `Workload.known_at` says; of a series, steps that were over.

    Raises ValueError where a step is no whole part of a day, or nothing is asked for.
    """
    if horizon_steps < 1 or paths < 1:
        raise ValueError(f"horizon_steps {horizon_steps} and paths {paths} must be at least 1")
    if step_s <= 0 or abs(DAY_S / step_s - round(DAY_S / step_s)) > 1e-9:
        raise ValueError(f"step_s {step_s} must be a whole part of a day of {DAY_S:g} s")
    known = known_at(history, now_s)
    per_slot = max(round(SLOT_S / step_s), 1) if horizon_steps * step_s > FINE_S and DAY_S % SLOT_S == 0 else 1
    per_slot = per_slot if round(DAY_S / step_s) % per_slot == 0 else 1
    then = days_before(known, now_s, per_slot * step_s, -(-horizon_steps // per_slot), rng)
    looked_back = backtest(then, rng)
    drawn = _paths(then, looked_back, paths, rng)
    shares = _shares(then, looked_back)
    return Forecast(
        now_s=now_s,
        step_s=step_s,
        paths=np.repeat(drawn, per_slot, axis=1)[:, :horizon_steps],
        models=shares,
        coverage=looked_back.coverage if len(looked_back) else None,
        pinball=looked_back.pinball if len(looked_back) else None,
        reason=because(then, looked_back, shares),
    )


def _paths(then: Past, looked_back: Backtest, count: int, rng: np.random.Generator) -> Floats:
    now = len(then) - 1
    if not now:
        return unknown(then, now).draw(count, rng)
    drawn = mixture([model(then, now) for model in MODELS.values()], looked_back.weights, count, rng)
    calibration: Calibration = looked_back.calibration
    return calibration.correct(drawn)


def _shares(then: Past, looked_back: Backtest) -> tuple[tuple[str, float], ...]:
    if len(then) == 1:
        return (("unknown", 1.0),)
    weights = looked_back.weights if len(looked_back) else PRIOR
    return tuple(sorted(zip(MODELS, map(float, weights), strict=True), key=lambda share: -share[1]))
