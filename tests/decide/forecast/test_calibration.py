"""Corrected quantiles hold as often as they say, and whom to trust follows from what was lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.forecast.calibration import HIGH, LEVELS, LOW, Calibration, adapted, pinball
from broker.decide.forecast.hedge import SHARE, trust


def _held(paths: np.ndarray, came: np.ndarray) -> float:
    low, high = np.quantile(paths, LEVELS[[LOW, HIGH]], axis=0)
    return float(((came >= low) & (came <= high)).mean())


@pytest.mark.parametrize(("wide", "off"), [(0.3, 0.0), (3.0, 0.0), (1.0, 2.0), (0.5, -1.0)])
def test_a_band_that_was_too_narrow_too_wide_or_off_holds_afterwards(wide: float, off: float) -> None:
    rng = np.random.default_rng(1)
    draw = lambda: 100 + off + wide * rng.normal(size=(300, 24))  # noqa: E731
    came = 100 + rng.normal(size=(60, 24))
    quantiles = np.array([np.quantile(draw(), LEVELS, axis=0) for _ in came])
    learnt = Calibration.learnt(quantiles, came)
    fresh = 100 + rng.normal(size=(400, 24))
    assert np.mean([_held(learnt.correct(draw()), day) for day in fresh]) == pytest.approx(0.9, abs=0.03)


def test_each_path_keeps_its_rank() -> None:
    rng = np.random.default_rng(1)
    paths = rng.uniform(10, 20, (50, 12))
    quantiles = np.array([np.quantile(paths, LEVELS, axis=0)] * 20)
    learnt = Calibration.learnt(quantiles, rng.uniform(0, 40, (20, 12)))
    corrected = learnt.correct(paths)
    assert (corrected.argsort(axis=0) == paths.argsort(axis=0)).all()
    assert (corrected >= 0).all()


def test_without_a_past_nothing_is_corrected() -> None:
    paths = np.random.default_rng(1).uniform(0, 9, (20, 6))
    assert Calibration.learnt(np.zeros((0, len(LEVELS), 6)), np.zeros((0, 6))).correct(paths) == pytest.approx(paths)


@given(st.integers(0, 1_000))
@settings(max_examples=20)
def test_more_is_asked_of_what_is_exceeded_too_often_and_less_of_what_is_too_seldom(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corrected, came = np.sort(rng.uniform(0, 9, (len(LEVELS), 24)), axis=0), rng.uniform(0, 9, 24)
    asked = adapted(LEVELS, corrected, came)
    assert ((asked >= 0) & (asked <= 1)).all()
    held = (came <= corrected).mean(axis=1)
    assert (asked[held < LEVELS] > LEVELS[held < LEVELS]).all()
    assert (asked[held > LEVELS] < LEVELS[held > LEVELS]).all()
    assert (adapted(asked, np.full_like(corrected, 10.0), came) < asked).all()


def test_a_band_holds_where_days_grow_wilder_and_errors_of_the_past_are_too_small() -> None:
    rng = np.random.default_rng(1)
    paths = 100 + rng.normal(size=(100, 24))
    came = 100 + np.linspace(1, 4, 120)[:, None] * rng.normal(size=(120, 24))
    quantiles = np.array([np.quantile(paths, LEVELS, axis=0)] * len(came))
    asked, adaptive, fixed = LEVELS, [], []
    for k, day in enumerate(came):
        corrected = Calibration.learnt(quantiles[:k], came[:k], asked).correct(paths)
        adaptive.append(_held(corrected, day))
        fixed.append(_held(Calibration.learnt(quantiles[:k], came[:k]).correct(paths), day))
        asked = adapted(asked, np.quantile(corrected, LEVELS, axis=0), day)
    assert np.mean(fixed[60:]) < 0.82
    assert np.mean(adaptive[60:]) > np.mean(fixed[60:]) + 0.02


def test_the_loss_of_quantiles_is_least_at_the_true_ones() -> None:
    came = np.random.default_rng(1).normal(50, 10, 20_000)
    true = np.quantile(came, LEVELS)
    at = lambda shift: pinball(np.repeat((true + shift)[:, None], len(came), 1), came)  # noqa: E731
    assert at(0.0) < min(at(2.0), at(-2.0))


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(0, 9)), max_size=20))
def test_trust_is_shared_out_and_each_keeps_some(losses: list[tuple[float, float, float]]) -> None:
    prior = np.array([0.6, 0.3, 0.1])
    weights = trust(prior, np.array(losses).reshape(-1, 3))
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= SHARE * prior - 1e-12).all()


def test_who_has_lost_least_is_trusted_most() -> None:
    prior = np.array([0.6, 0.3, 0.1])
    assert trust(prior, np.zeros((0, 3))) == pytest.approx(prior)
    assert trust(prior, np.array([[3.0, 2.0, 1.0]] * 10)).argmax() == 2


def test_little_that_is_lost_each_day_tells_more_than_one_bad_day() -> None:
    """Both lost as much in forty days, the second all of it in one of them."""
    losses = np.full((40, 3), 10.0)
    losses[:, 1] += 1.0
    losses[-1, 2] += losses[:, 1].sum() - 400.0
    always, once = trust(np.ones(3) / 3, losses)[1:]
    assert always < 0.08 < 0.25 < once


def test_trust_does_not_depend_on_the_unit_nor_on_what_all_have_lost() -> None:
    losses = np.random.default_rng(2).gamma(2.0, 1.0, (30, 3))
    prior = np.array([0.6, 0.3, 0.1])
    days = np.random.default_rng(3).gamma(2.0, 9.0, (30, 1))
    assert trust(prior, 1e6 * losses + days) == pytest.approx(trust(prior, losses), rel=1e-6)
