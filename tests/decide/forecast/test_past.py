"""What is known of earlier days adds up to what was held in them, and holds nothing of what came later."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.demand import Demand, demand
from broker.decide.forecast.arriving import arrivals
from broker.decide.forecast.past import past
from broker.decide.forecast.series import as_jobs
from broker.decide.workload import Workload

DAY, HOUR = 86_400.0, 3_600.0


def _jobs(seed: int, count: int = 200, days: float = 6.0) -> Workload:
    rng = np.random.default_rng(seed)
    return Workload.of(
        rng.uniform(0, days * DAY, count), np.exp(rng.normal(9.0, 2.0, count)), rng.choice([0.5, 1.0, 8.0], count)
    )


@given(st.integers(0, 1_000), st.floats(0.0, 4.0))
def test_what_came_and_what_ran_are_all_there_was(seed: int, begin_days: float) -> None:
    jobs, start = _jobs(seed), begin_days * DAY
    came = arrivals(jobs.submit_s, jobs.end_s, jobs.gpus, np.array([start]), DAY, HOUR, 24)[0]
    ran = jobs.take((jobs.submit_s < start) & (jobs.end_s > start))
    for hour, held in enumerate(came):
        low, high = start + hour * HOUR, start + (hour + 1) * HOUR
        of_all, of_these = (_held(of, low, high) for of in (jobs, ran))
        assert held == pytest.approx((of_all - of_these) / HOUR, abs=1e-6)


def _held(of: Workload, low: float, high: float) -> float:
    return float(np.clip(np.minimum(of.end_s, high) - np.maximum(of.submit_s, low), 0, None) @ of.gpus)


@given(st.integers(0, 1_000), st.floats(0.0, 0.9))
@settings(max_examples=30)
def test_what_was_held_is_the_demand(seed: int, offset_days: float) -> None:
    jobs = _jobs(seed)
    hour = round(offset_days * 24)
    then = past(jobs, np.arange(5) * DAY + hour * HOUR, DAY, HOUR, 24, np.random.default_rng(1))
    whole = demand(jobs, HOUR, 6 * DAY).gpus
    assert then.busy.ravel() == pytest.approx(whole[hour : hour + 120], abs=1e-6)
    series = past(
        Demand(step_s=HOUR, gpus=whole), np.arange(5) * DAY + hour * HOUR, DAY, HOUR, 24, np.random.default_rng(1)
    )
    assert series.busy.ravel() == pytest.approx(whole[hour : hour + 120], abs=1e-6)


@given(st.lists(st.floats(0.0, 3_000.0), min_size=1, max_size=40))
def test_a_series_and_its_jobs_are_the_same_to_half_a_slice(levels: list[float]) -> None:
    series = Demand(step_s=300.0, gpus=np.array(levels))
    back = demand(as_jobs(series), 300.0, 300.0 * (len(levels) + 1)).gpus[1:]
    assert (np.abs(back - series.gpus) <= np.maximum(0.125, series.gpus / 64) + 0.01).all()


@given(st.lists(st.floats(0.0, 300.0), min_size=2, max_size=40), st.data())
def test_jobs_of_a_series_do_not_depend_on_what_came_later(levels: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(levels) - 1))
    whole = as_jobs(Demand(step_s=300.0, gpus=np.array(levels))).known_at(cut * 300.0)
    part = as_jobs(Demand(step_s=300.0, gpus=np.array(levels[:cut]))).known_at(cut * 300.0)
    for found in (whole, part):
        assert (found.end_s <= cut * 300.0 + 1e-6).all()
    assert sorted(zip(whole.submit_s, whole.end_s, whole.gpus, whole.ended, strict=True)) == sorted(
        zip(part.submit_s, part.end_s, part.gpus, part.ended, strict=True)
    )


def test_alike_days_count_more_and_old_ones_less() -> None:
    then = past(_jobs(1, days=20.0), np.arange(20) * DAY, DAY, HOUR, 24, np.random.default_rng(1))
    weights = then.weights(19, 5 * DAY, 3.0)
    first = then.rows(19).start
    assert weights.sum() == pytest.approx(1.0)
    assert weights[-1] > weights[-2]
    assert weights[12 - first] > 2 * weights[13 - first]  # a week before


@pytest.mark.parametrize("later", [0, 1, 5, 30])
def test_what_follows_a_day_is_known_and_keeps_the_weekday(later: int) -> None:
    then = past(_jobs(1, days=20.0), np.arange(20) * DAY, DAY, HOUR, 24, np.random.default_rng(1))
    rows = np.arange(then.rows(18).start, 18)
    follow = then.followers(18, later)
    assert ((follow >= 0) & (follow < 18)).all()
    assert ((follow - rows - later) % 7 == 0).all()
