"""What is to be expected: jobs that run now, as long as such jobs last, and jobs to come, as they have come before.

`forecast(history, now_s, horizon_steps, step_s, rng)` gives sample paths, quantiles and the reason in words. Each model
of `models` says what may come in its way; `hedge.trust` weighs them by what they have lost; `Calibration` makes bands
hold as often as they say; `backtest` looks back at how forecasts would have done.
"""

from broker.decide.forecast.backtest import Backtest, backtest
from broker.decide.forecast.calibration import LEVELS, Calibration
from broker.decide.forecast.forecast import Forecast, forecast

__all__ = ["LEVELS", "Backtest", "Calibration", "Forecast", "backtest", "forecast"]
