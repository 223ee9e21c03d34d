"""A past, block by block → how forecasts made at the begin of each block would have done, and whom to trust now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.forecast.calibration import BACK, HIGH, LEVELS, LOW, Calibration, adapted, pinball
from broker.decide.forecast.hedge import trust
from broker.decide.forecast.models import MODELS, PRIOR_WEIGHTS, mixture
from broker.decide.forecast.past import Past
from broker.decide.workload import Floats

PATHS = 100  # of each forecast that is looked back at
PRIOR = np.array([PRIOR_WEIGHTS[name] for name in MODELS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Forecasts made one block ahead, each with what was known then, beside what came."""

    quantiles: Floats  # (forecasts, levels, slots), before calibration
    came: Floats  # (forecasts, slots)
    losses: Floats  # (forecasts, models): mean pinball loss of each model alone, in GPUs
    bands: Floats  # (forecasts, 2, slots): the 5 % and 95 % quantiles, calibrated by the forecasts before
    asked: Floats  # (levels,): the quantiles of past errors that calibration asks for now

    def __len__(self) -> int:
        return len(self.came)

    @property
    def coverage(self) -> float:
        """The share of time in which the 90 % band held; NaN where nothing was looked back at."""
        inside = (self.came >= self.bands[:, 0]) & (self.came <= self.bands[:, 1])
        return float(inside.mean()) if inside.size else float("nan")

    @property
    def pinball(self) -> float:
        """Mean loss of the mixture's quantiles, in GPUs; NaN where nothing was looked back at."""
        losses = [pinball(each, came) for each, came in zip(self.quantiles, self.came, strict=True)]
        return float(np.mean(losses)) if losses else float("nan")

    @property
    def weights(self) -> Floats:
        """How much each of `MODELS` is trusted now."""
        return trust(PRIOR, self.losses)

    @property
    def calibration(self) -> Calibration:
        """What the errors ask for now."""
        return Calibration.learnt(self.quantiles, self.came, self.asked)


def backtest(past: Past, rng: np.random.Generator, back: int = BACK) -> Backtest:
    """Forecasts as of the begin of each of the last `back` blocks that are over: all but the last row of the past."""
    slots = past.slots
    begins = range(max(1, len(past) - 1 - back), len(past) - 1)
    came = past.busy[begins.start : begins.stop] if begins else np.zeros((0, slots))
    quantiles, bands = np.zeros((len(came), len(LEVELS), slots)), np.zeros((len(came), 2, slots))
    losses = np.zeros((len(came), len(MODELS)))
    asked = LEVELS
    for k, i in enumerate(begins):
        seen_by = [model(past, i) for model in MODELS.values()]
        drawn = [cases.draw(PATHS, rng)[:, :slots] for cases in seen_by]
        losses[k] = [pinball(np.quantile(each, LEVELS, axis=0), came[k]) for each in drawn]
        paths = mixture(seen_by, trust(PRIOR, losses[:k]), PATHS, rng)[:, :slots]
        quantiles[k] = np.quantile(paths, LEVELS, axis=0)
        paths = Calibration.learnt(quantiles[:k], came[:k], asked).correct(paths)
        corrected = np.quantile(paths, LEVELS, axis=0)
        bands[k] = corrected[[LOW, HIGH]]
        asked = adapted(asked, corrected, came[k])
    return Backtest(quantiles=quantiles, came=came, losses=losses, bands=bands, asked=asked)
