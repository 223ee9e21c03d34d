"""What is expected after a boot rests on whole cycles that were over, and is never below what is busy now."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import Seen, targets
from broker.decide.capacity.seasonal import expected
from broker.decide.demand import Demand
from broker.decide.market import SCENARIOS, Market

HOURLY = Market(step_s=3_600.0, boot=1, warmup=0)


def _seen(demand: np.ndarray) -> Seen:
    return Seen(level=np.concatenate([[0.0], demand[:-1]]), demand=demand)


def test_a_rise_that_comes_daily_is_expected_a_boot_ahead() -> None:
    demand = np.where(np.arange(24 * 10) % 24 >= 9, 30.0, 4.0)
    daily, _ = expected(_seen(demand), HOURLY)
    at = 24 * 9
    assert daily[at + 6] == pytest.approx(4.0)
    assert daily[at + 8] == pytest.approx(30.0)  # two steps later it is nine or ten: the rise has come
    assert daily[at + 15] == pytest.approx(30.0)


def test_weekends_are_told_from_working_days_by_the_week_alone() -> None:
    hours = np.arange(24 * 7 * 5)
    demand = np.where((hours % 24 >= 9) & (hours // 24 % 7 < 5), 30.0, 4.0)
    daily, weekly = expected(_seen(demand), HOURLY)
    saturday = 24 * (7 * 4 + 5) + 8
    assert weekly[saturday] == pytest.approx(4.0)
    assert daily[saturday] > 20.0
    assert weekly[saturday - 24] == pytest.approx(30.0)


@given(seed=st.integers(0, 1_000), cut=st.integers(0, 400))
@settings(max_examples=30, deadline=None)
def test_nothing_is_expected_from_what_has_not_come(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0, 50, 400)
    other = np.concatenate([demand[:cut], rng.uniform(0, 500, 400 - cut)])
    first, second = expected(_seen(demand), HOURLY), expected(_seen(other), HOURLY)
    assert (first[:, : cut + 1] == second[:, : cut + 1]).all()
    assert (first >= _seen(demand).level).all()


def test_with_no_steps_nothing_is_expected() -> None:
    assert expected(Seen(level=np.zeros(0), demand=np.zeros(0)), HOURLY).shape == (2, 0)


def test_where_booting_takes_long_office_hours_of_varying_height_are_booted_for_in_time() -> None:
    """Some 100 GPUs on working days from nine to six; how many exactly, and when exactly they come, varies."""
    rng = np.random.default_rng(5)
    steps = np.arange(56 * 288)
    day, hour = steps // 288, steps % 288 / 12
    begin, height = rng.normal(9, 0.1, 56)[day], rng.normal(100, 8, 56)[day]
    busy = Demand(step_s=300.0, gpus=np.where((day % 7 < 5) & (hour >= begin) & (hour < 18), height, 5.0))
    market = SCENARIOS["slow-boot"]
    paid = fluid.cost(busy, market, targets(busy, market)).total
    assert paid < 1.055 * clairvoyant.optimum(busy, market)
