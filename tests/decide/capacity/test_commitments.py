"""Commitments: bought where the past says they will be used, never where it does not, and priced against the others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import targets
from broker.decide.demand import Demand
from broker.decide.market import SCENARIOS, Market
from broker.decide.workload import Workload

MARKET = SCENARIOS["commit-14d"]
WINDOW = MARKET.commit_window
DAY, HOUR = 86_400.0, 3_600.0


def _series(levels: np.ndarray) -> Demand:
    return Demand(step_s=300.0, gpus=np.asarray(levels, float))


def test_nothing_is_committed_before_anything_was_seen() -> None:
    found = targets(_series(np.full(2 * WINDOW, 30.0)), MARKET)
    assert not found.committed_gpus[:WINDOW].any()
    assert found.committed_gpus[WINDOW:] == pytest.approx(30.0)


def test_what_is_busy_for_less_than_its_price_is_not_committed() -> None:
    """30 GPUs always and 30 more for a third of the time: a commitment costs 0.6."""
    busy = np.where(np.arange(4 * WINDOW) % 36 < 12, 60.0, 30.0)
    held = targets(_series(busy), MARKET).committed_gpus[2 * WINDOW :]
    assert held == pytest.approx(30.0, abs=1.0)


def test_no_more_is_committed_when_it_costs_more() -> None:
    busy = 30 + 20 * np.sin(np.arange(4 * WINDOW) / 700.0)
    held = [
        targets(_series(busy), replace(MARKET, commit=price)).committed_gpus.sum()
        for price in (0.2, 0.4, 0.6, 0.8, 2.0)
    ]
    assert held == sorted(held, reverse=True)
    assert held[0] > held[-1] == 0


@given(seed=st.integers(0, 200))
@settings(max_examples=15)
def test_commitments_hold_for_whole_windows_and_are_whole(seed: int) -> None:
    market = Market(commit=0.6, commit_window=96, warmup=0)
    walk = np.abs(np.cumsum(np.random.default_rng(seed).normal(0, 1, 700)))
    held = targets(_series(walk), market).committed_gpus
    assert not (held % 1).any()
    assert not ((np.flatnonzero(np.diff(held)) + 1) % 96).any()


def test_a_steady_level_with_noise_costs_little_more_than_hindsight() -> None:
    busy = _series(60 + np.random.default_rng(1).normal(0, 4, 6 * WINDOW))
    paid = fluid.cost(busy, MARKET, targets(busy, MARKET)).total
    assert paid < 1.08 * clairvoyant.optimum(busy, MARKET)


def test_after_a_fall_less_is_committed() -> None:
    busy = np.concatenate([np.full(2 * WINDOW, 80.0), np.full(3 * WINDOW, 20.0)])
    held = targets(_series(busy), MARKET).committed_gpus[::WINDOW]
    assert held[2] == pytest.approx(80.0)
    assert held[4] <= 21.0


def test_what_has_just_begun_is_committed_to_where_such_jobs_last() -> None:
    """The load so far is the same, and so are its changes: who submitted what now runs makes the difference."""
    lasting = [(12 * HOUR * n, 10 * DAY, "long") for n in range(56)]
    passing = [(HOUR * n, HOUR / 3, "short") for n in range(28 * 24)]
    held = {}
    for owner in ("long", "short"):
        jobs = [*lasting, *passing, *[(28 * DAY - 600.0, 10 * DAY, owner)] * 30, (28.5 * DAY, HOUR, "short")]
        submit, duration, users = zip(*jobs, strict=True)
        history = Workload.of(submit, duration, np.ones(len(jobs)), user=users)
        held[owner] = targets(history, replace(MARKET, commit=0.4)).committed_gpus[2 * WINDOW]
    assert held["long"] > held["short"] > 0
