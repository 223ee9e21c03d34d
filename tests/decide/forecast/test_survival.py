"""How long jobs will go on is read from those that ended and those that still run, without being fooled by either."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.forecast.running import PATHS, drawn_ends, survivors
from broker.decide.forecast.survival import BINS, age_bin, hazards, log_survival, remaining
from broker.decide.workload import Workload

DAY = 86_400.0
counts = st.lists(st.integers(0, 5), min_size=BINS, max_size=BINS).map(lambda each: np.array(each, float))


def _stays(jobs: Workload, now: float, hours: int) -> np.ndarray:
    return survivors(jobs, np.array([now]), 3_600.0, hours, np.random.default_rng(1))[0]


def _exponential(mean_s: float, count: int = 4_000) -> Workload:
    rng = np.random.default_rng(2)
    submit = rng.uniform(0, 5 * DAY, count)
    return Workload.of(submit, rng.exponential(mean_s, count), np.ones(count))


@given(counts, counts)
def test_without_shrinkage_survival_is_that_of_kaplan_and_meier(ended: np.ndarray, running: np.ndarray) -> None:
    """The product over ages of 1 - ends / at risk; a job that still runs is half at risk in the bin of its age."""
    found = np.exp(log_survival(hazards(ended, running, np.zeros(BINS), 1e-12)))
    alive = 1.0
    for b in range(BINS):
        at_risk = ended[b:].sum() + running[b + 1 :].sum() + running[b] / 2
        alive *= max(1 - ended[b] / at_risk, 1e-6) if at_risk else 1.0
        assert found[b + 1] == pytest.approx(alive, rel=1e-6)


@given(counts, st.floats(0.0, 1e6), st.floats(0.01, 0.99))
def test_what_remains_is_the_inverse_of_survival(ended: np.ndarray, age_s: float, share: float) -> None:
    curve = log_survival(hazards(ended, np.zeros(BINS), np.full(BINS, 0.1), 5.0))
    left = remaining(curve, age_s, np.log(share))
    if left < 1e8:
        reached = remaining(curve, 0.0, curve[age_bin(age_s)])
        assert left >= 0
        assert remaining(curve, age_s, np.log(share) / 2) <= left
        assert reached <= age_s + 1e-3


def test_jobs_without_memory_stay_as_long_as_such_jobs_do() -> None:
    """Half of the jobs are still running or were cut short: an estimate that ignored them would be too short."""
    mean_s, now = DAY, 4 * DAY
    jobs = _exponential(mean_s).known_at(now)
    held = _stays(jobs, now, 24).mean(0)
    expected = (~jobs.ended).sum() * np.exp(-(np.arange(24) + 0.5) / 24)
    assert held == pytest.approx(expected, rel=0.1)


def test_a_sweep_ends_together() -> None:
    """Jobs alike that came at once are no independent draws: all or few of them are left."""
    old = _exponential(DAY / 8, 300).known_at(4 * DAY)
    sweep = 50
    jobs = Workload.of(
        np.concatenate([old.submit_s, np.full(sweep, 4 * DAY - 60.0)]),
        np.concatenate([old.duration_s, np.full(sweep, 60.0)]),
        np.concatenate([old.gpus, np.full(sweep, 2.0)]),
        ended=np.concatenate([old.ended, np.zeros(sweep, bool)]),
    )
    later = _stays(jobs, 4 * DAY, 24)[:, 3]
    assert ((later < 10) | (later > 2 * sweep - 10)).mean() > 0.8


def test_users_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    submit = np.sort(rng.uniform(0, 3 * DAY, 400))
    slow = np.arange(400) % 2 == 0
    duration = np.where(slow, 2 * DAY, 1_800.0)
    names = ["slow" if each else "quick" for each in slow]
    jobs = Workload.of(submit, duration, np.ones(400), user=names).known_at(3 * DAY)
    held = _stays(jobs, 3 * DAY, 24)[:, 2].mean()
    running = ~jobs.ended
    of_slow = np.array([jobs.user.names[code] == "slow" for code in jobs.user.codes])
    assert held == pytest.approx((running & of_slow).sum(), rel=0.1)


def test_a_start_knows_nothing_of_what_came_later() -> None:
    jobs = _exponential(DAY)
    starts = np.array([DAY, 2 * DAY, 3 * DAY])
    whole = survivors(jobs, starts, 3_600.0, 24, np.random.default_rng(1))
    cut = survivors(jobs.known_at(3 * DAY), starts, 3_600.0, 24, np.random.default_rng(1))
    assert whole.shape == (3, PATHS, 24)
    assert (whole == cut).all()


def test_ends_that_are_known_stay_and_others_lie_ahead() -> None:
    now = 2 * DAY
    jobs = _exponential(DAY).known_at(now)
    ends = drawn_ends(jobs, now, np.random.default_rng(1))
    assert (ends[jobs.ended] == jobs.end_s[jobs.ended]).all()
    assert (ends[~jobs.ended] >= now).all()
