"""Forecasts rest on the past alone, say what they rest on, and hold as often as they say."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.demand import Demand, demand
from broker.decide.forecast import LEVELS, Forecast, backtest, forecast
from broker.decide.forecast.calibration import BACK
from broker.decide.forecast.models import MODELS
from broker.decide.forecast.past import past
from broker.decide.workload import Workload

TRACES = Path(__file__).parents[4] / "shared" / "traces"
DAY, HOUR, STEP = 86_400.0, 3_600.0, 300.0


def _jobs(seed: int, count: int = 150, days: float = 8.0) -> Workload:
    rng = np.random.default_rng(seed)
    submit = rng.uniform(0, days * DAY, count)
    return Workload.of(
        submit, np.exp(rng.normal(9.0, 2.0, count)), rng.choice([1, 1, 2, 8], count), user=list("abc" * (count // 3))
    )


def _ask(history: Workload | Demand, now_s: float, hours: int = 24) -> Forecast:
    return forecast(history, now_s, hours, HOUR, np.random.default_rng(1))


@given(seed=st.integers(0, 1_000), now_days=st.floats(0.0, 8.0), stretch=st.floats(0.0, 3.0))
@settings(max_examples=30)
def test_nothing_that_came_later_is_used(seed: int, now_days: float, stretch: float) -> None:
    """Jobs submitted later are gone, and those that run are longer or shorter: the forecast is the same."""
    whole, now = _jobs(seed), now_days * DAY
    seen = whole.take(whole.submit_s < now)
    left = np.maximum(seen.end_s - now, 0.0) * np.random.default_rng(seed).uniform(0.0, stretch, len(seen)) + 1e-3
    names = [seen.user.names[code] for code in seen.user.codes]
    lasted = np.where(seen.end_s > now, now - seen.submit_s + left, seen.duration_s)
    other = Workload.of(seen.submit_s, lasted, seen.gpus, user=names)
    assert (_ask(whole, now).paths == _ask(other, now).paths).all()
    assert _ask(whole, now).reason == _ask(other, now).reason


@given(seed=st.integers(0, 1_000), cut=st.integers(1, 190))
@settings(max_examples=20)
def test_a_series_is_not_read_ahead(seed: int, cut: int) -> None:
    series = demand(_jobs(seed), HOUR).gpus
    changed = series.copy()
    changed[cut:] = np.random.default_rng(seed).uniform(0, 50, max(len(series) - cut, 0))
    first, second = (_ask(Demand(step_s=HOUR, gpus=levels), cut * HOUR) for levels in (series, changed))
    assert (first.paths == second.paths).all()


@pytest.mark.parametrize("hours", [1, 24, 30, 14 * 24])
def test_what_is_asked_for_is_given(hours: int) -> None:
    found = forecast(_jobs(1), 5.3 * DAY, hours * 12, STEP, np.random.default_rng(1), paths=70)
    quantiles = found.quantiles([0.05, 0.5, 0.95])
    assert found.paths.shape == (70, hours * 12)
    assert (found.paths >= 0).all() and np.isfinite(found.paths).all()
    assert (np.diff(quantiles, axis=0) >= 0).all()
    assert sum(share for _, share in found.models) == pytest.approx(1.0)


def test_the_same_is_forecast_again() -> None:
    assert (_ask(_jobs(1), 5 * DAY).paths == _ask(_jobs(1), 5 * DAY).paths).all()


def test_a_constant_level_stays() -> None:
    found = _ask(Workload.of([0.0], [1e9], [24]), 20 * DAY)
    assert np.median(found.paths, axis=0) == pytest.approx(24.0, abs=0.5)


def test_a_daily_cycle_returns() -> None:
    """What is held at the time of asking says nothing of noon; earlier days do."""
    hours = np.arange(24 * 40)
    level = 50 + 40 * np.sin(hours * 2 * np.pi / 24) + np.random.default_rng(1).normal(0, 2, len(hours))
    found = _ask(Demand(step_s=HOUR, gpus=level), 39 * DAY)
    assert np.median(found.paths, axis=0) == pytest.approx(50 + 40 * np.sin(np.arange(24) * 2 * np.pi / 24), abs=12)
    assert dict(found.models)["steady"] < 0.1


def test_that_nothing_is_known_is_said() -> None:
    for history in (Workload.of([], [], []), Demand(step_s=STEP, gpus=np.zeros(0)), _jobs(1)):
        found = _ask(history, 0.4 * DAY)
        assert "guess" in found.reason
        assert found.models == (("unknown", 1.0),)
        assert found.coverage is None
    assert "could be checked yet" in _ask(_jobs(1), 1.5 * DAY).reason


@pytest.mark.parametrize(("steps", "step_s"), [(0, 300.0), (10, 0.0), (10, 7_000.0)])
def test_what_cannot_be_asked_for_is_named(steps: int, step_s: float) -> None:
    with pytest.raises(ValueError, match=r"horizon_steps|step_s"):
        forecast(_jobs(1), DAY, steps, step_s, np.random.default_rng(1))


def _traces() -> dict[str, Workload | Demand]:
    """Recorded workloads of more than two weeks, and their last second."""
    found: dict[str, Workload | Demand] = {}
    for path in sorted(TRACES.glob("*.csv.gz")):
        with gzip.open(path, "rt") as file:
            rows = pd.read_csv(file)
        if "submit_s" in rows:
            found[path.stem] = Workload.of(rows["submit_s"], rows["duration_s"], rows["gpus"])
        elif "time_s" in rows:
            levels = rows.iloc[:, 1].groupby((rows["time_s"] // 600).astype(int)).mean()
            found[path.stem] = Demand(step_s=600.0, gpus=levels.to_numpy(float))
    return found


@pytest.mark.skipif(not TRACES.exists(), reason="recorded workloads lie beside the project, and are not here")
def test_the_band_holds_as_often_as_it_says_on_recorded_workloads() -> None:
    inside, losses = [], []
    for name, history in _traces().items():
        end_s = len(history) * history.step_s if isinstance(history, Demand) else float(history.submit_s[-1])
        days = int(end_s // DAY)
        if days < 13:
            continue
        then = past(history, np.arange(days + 1) * DAY, DAY, HOUR, 24, np.random.default_rng(1))
        found = backtest(then, np.random.default_rng(2))
        inside.append(((found.came >= found.bands[:, 0]) & (found.came <= found.bands[:, 1])).ravel())
        losses.append([found.pinball, *found.losses.mean(0)] / max(found.came.mean(), 1e-9))
        low, high = (0.85, 0.95) if len(found) == BACK else (0.8, 0.95)  # the first forecasts have little to go by
        assert low < found.coverage < high, (name, found.coverage)
    assert len(inside) >= 15
    assert 0.85 < np.concatenate(inside).mean() < 0.95
    # Mixed, they lose hardly more than the one that is best over all these workloads.
    assert np.mean(losses, 0)[0] < 1.05 * np.mean(losses, 0)[1:].min()
    assert len(LEVELS) == found.quantiles.shape[1] and len(MODELS) == found.losses.shape[1]
