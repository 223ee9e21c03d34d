"""Quantiles that were forecast and what came then → quantiles corrected so that they hold as often as they say.

Conformalised quantile regression (Romano, Patterson and Candès, NeurIPS 2019), with each quantile corrected on its own:
the correction is that quantile of past errors, measured in widths of the forecast's own band. Days are not
exchangeable, so which quantile of past errors is asked for is adapted as forecasts turn out to hold too seldom or too
often (adaptive conformal inference, Gibbs and Candès, NeurIPS 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.workload import Floats

LEVELS = np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98])
LOW, HIGH = 1, 7  # of LEVELS: the band whose width errors are measured in
CAUTION = 1.0  # how many forecasts without error are taken to have been before the first
BACK = 40  # forecasts that are looked back at
# How far one forecast moves the level that is asked for: as online gradient descent over so many forecasts, by the
# distance to the nearest end over the size of a gradient (Zinkevich, ICML 2003), which is sqrt(level * (1 - level)).
STEPS = np.minimum(LEVELS, 1 - LEVELS) / np.sqrt(LEVELS * (1 - LEVELS) * BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is added to the quantile of each of `LEVELS`, in widths of the band."""

    shifts: Floats  # (levels,)
    slack: float  # GPUs added to the width, so that a forecast without any has one
    forecasts: int  # how many were compared with what came

    @classmethod
    def none(cls) -> Calibration:
        """Of forecasts that none has been compared with what came."""
        return cls(shifts=np.zeros(len(LEVELS)), slack=0.0, forecasts=0)

    @classmethod
    def learnt(cls, quantiles: Floats, came: Floats, asked: Floats = LEVELS) -> Calibration:
        """From quantiles that were forecast, (forecasts, levels, slots), and what came, (forecasts, slots).

        `asked` has the quantile of past errors that corrects each of `LEVELS`; see `adapted`.
        """
        if not len(came):
            return cls.none()
        slack = 0.1 * float(came.mean()) + 1e-9
        width = quantiles[:, HIGH] - quantiles[:, LOW] + slack
        errors = (came[:, None] - quantiles) / width[:, None]
        shifts = [np.quantile(errors[:, k], level) for k, level in enumerate(asked)]
        share = len(came) / (len(came) + CAUTION)
        return cls(shifts=share * np.array(shifts), slack=slack, forecasts=len(came))

    def correct(self, paths: Floats) -> Floats:
        """Sample paths, (paths, slots), moved so that in each slot their quantiles are the corrected ones.

        Each path keeps its rank in each slot (Schefzik, Thorarinsdottir and Gneiting, Statistical Science, 2013).
        """
        ranks = paths.argsort(axis=0, kind="stable")
        ordered = np.take_along_axis(paths, ranks, axis=0)
        low, high = np.quantile(ordered, LEVELS[[LOW, HIGH]], axis=0)
        levels = (np.arange(len(paths)) + 0.5) / max(len(paths), 1)
        moved = ordered + np.interp(levels, LEVELS, self.shifts)[:, None] * (high - low + self.slack)
        corrected = np.empty_like(paths)
        np.put_along_axis(corrected, ranks, np.maximum(np.maximum.accumulate(moved, axis=0), 0.0), axis=0)
        return corrected


def adapted(asked: Floats, corrected: Floats, came: Floats) -> Floats:
    """What to ask for after one more forecast: more of each quantile that was exceeded more often than it says.

    `corrected` are that forecast's corrected quantiles, (levels, slots), and `came` is what came, (slots,).
    """
    # A band has its ends in it: what comes exactly as a low quantile said is not below it.
    held = np.where(LEVELS < 0.5, (came < corrected).mean(axis=1), (came <= corrected).mean(axis=1))
    moved: Floats = np.clip(asked + STEPS * (LEVELS - held), 0.0, 1.0)
    return moved


def pinball(quantiles: Floats, came: Floats) -> float:
    """Mean loss of quantiles, (levels, slots), over `LEVELS` and slots, in GPUs (Koenker and Bassett, 1978)."""
    over = came[None] - quantiles
    return float(np.maximum(LEVELS[:, None] * over, (LEVELS[:, None] - 1) * over).mean())
