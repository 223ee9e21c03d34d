"""From how containers are kept to how they should be: within limits, with patience, at once for a promise."""

from dataclasses import replace

import pytest

from broker.decide.steering import PATIENCE
from broker.decide.warm.steering import FEW, ran, ran_anywhere, steer_warm, wanted
from broker.model.money import NS_PER_S
from broker.model.pools import KeepWarm, WarmLimits
from broker.model.resources import GIB, Resources
from broker.model.runs import Run
from broker.testing.builders import pool

POOL = pool("burst", cold_start_s=10.0)
NOW = 1_795_000_000 * NS_PER_S
MINUTE = KeepWarm(scaledown_window_s=60.0)


def every(period_s: float, count: int = 60, runs_s: float = 5.0, where: str = "burst") -> list[Run]:
    """One job after another, the last just now."""
    begins = [NOW - round((count - number) * period_s * NS_PER_S) for number in range(count)]
    held = Resources(cpus=1, memory_bytes=GIB)
    return [
        Run(user="ann", pool=where, resources=held, started_ns=begin, ended_ns=begin + round(runs_s * NS_PER_S))
        for begin in begins
    ]


def test_measured_starts_replace_what_was_thought() -> None:
    assert wanted(POOL, []).cold_start_s == 10.0  # type: ignore[union-attr]
    assert wanted(POOL, [3.0, 1.0, 2.0]).cold_start_s == 2.0  # type: ignore[union-attr]
    assert wanted(replace(POOL, cold_start_s=0.0), []) is None


def test_what_ran_elsewhere_is_another_pools() -> None:
    seen, now_s = ran([*every(60.0), *every(60.0, where="ray")], POOL, NOW)
    assert len(seen) == 60 and set(seen.gpus) == {0.5} and now_s == 3_600.0
    assert len(ran_anywhere(every(60.0), POOL, NOW - 600 * NS_PER_S, NOW)) == 10


def test_another_setting_is_taken_with_patience() -> None:
    aim = wanted(POOL, [1.0])
    assert aim is not None
    jobs = ran(every(30.0), POOL, NOW)
    first = steer_warm(jobs, aim, MINUTE, 0)
    assert (first.setting, first.other) == (MINUTE, 1)
    assert "kept for now" in first.reason
    second = steer_warm(jobs, aim, MINUTE, first.other)
    assert second.setting == KeepWarm(scaledown_window_s=2.0)
    assert "with 60 s, as now," in second.reason and "more is paid beside the work" in second.reason
    assert steer_warm(jobs, aim, second.setting, 0).setting == second.setting


def test_a_little_better_is_not_enough() -> None:
    aim = wanted(POOL, [10.0])
    assert aim is not None
    step = steer_warm(ran(every(8.0), POOL, NOW), aim, KeepWarm(scaledown_window_s=3.1), 5)
    assert step.setting == KeepWarm(scaledown_window_s=3.1)


def test_a_broken_promise_is_mended_at_once() -> None:
    promised = replace(POOL, warm=WarmLimits(start_within_s=1.0, start_share=0.9, most_containers=2))
    aim = wanted(promised, [10.0])
    assert aim is not None
    step = steer_warm(ran(every(120.0), promised, NOW), aim, KeepWarm(scaledown_window_s=2.0), 0)
    assert aim.promise is not None and step.setting != KeepWarm(scaledown_window_s=2.0)
    assert "now it is broken" in step.reason


def test_a_few_jobs_are_no_reason_to_change_anything() -> None:
    aim = wanted(POOL, [1.0])
    assert aim is not None
    step = steer_warm(ran(every(30.0, count=FEW - 1), POOL, NOW), aim, MINUTE, 9)
    assert step.setting == MINUTE and "9 jobs have been seen, 10 are needed" in step.reason


def test_in_a_dry_run_the_same_is_wished_for_again() -> None:
    aim = wanted(POOL, [1.0])
    assert aim is not None
    jobs = ran(every(30.0), POOL, NOW)
    second = steer_warm(jobs, aim, MINUTE, 1)
    assert steer_warm(jobs, aim, MINUTE, second.other).setting == second.setting != MINUTE


@pytest.mark.parametrize("runs", [[], every(30.0)])
def test_what_is_set_is_brought_within_the_limits(runs: list[Run]) -> None:
    limited = replace(POOL, warm=WarmLimits(most_window_s=20.0, least_containers=1, most_containers=2))
    aim = wanted(limited, [])
    assert aim is not None
    setting = steer_warm(
        ran(runs, limited, NOW), aim, KeepWarm(scaledown_window_s=900.0, buffer_containers=7), 0
    ).setting
    assert setting.scaledown_window_s <= 20.0 and setting.min_containers >= 1 and setting.buffer_containers <= 2


def test_containers_that_wait_are_paid_for_until_now() -> None:
    """Jobs twenty seconds apart, a day ago: one container kept since would have cost that day."""
    aim = wanted(replace(POOL, warm=WarmLimits(most_containers=4, worth_s=30.0)), [15.0])
    assert aim is not None
    jobs, now_s = ran(every(20.0, count=40, runs_s=1.0), POOL, NOW)
    kept = KeepWarm(scaledown_window_s=19.0, min_containers=1)
    assert steer_warm((jobs, now_s), aim, kept, PATIENCE).setting == kept
    assert steer_warm((jobs, now_s + 86_400.0), aim, kept, PATIENCE).setting.min_containers == 0
