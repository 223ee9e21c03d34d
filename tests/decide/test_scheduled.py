"""What schedules bring: planned for before it comes, counted once, and by nothing that came later."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.outlook import STEP_S, STEPS, foresee
from broker.decide.scheduled import Planned, planned
from broker.model.jobs import JobSpec, ResourceRequest
from broker.model.runs import Run
from broker.model.schedules import Concurrency, Schedule
from tests.run.past import BURST, DAY_NS, HOUR_NS, NODE, RAY

NOW = 20_500 * DAY_NS + 11 * HOUR_NS
NIGHTLY = Schedule(
    id="0a1b2c",
    name="nightly",
    user="ann",
    cron="0 2 * * *",
    timezone="UTC",
    document="{}",
    created_ns=NOW - 40 * DAY_NS,
    decided_ns=NOW - HOUR_NS,
)
# A whole node for two hours, no more and no less: with a limit below what is expected, nothing is left to chance.
JOB = JobSpec(
    name="nightly",
    run="true",
    resources=ResourceRequest(cpus=NODE.cpus, memory_bytes=NODE.memory_bytes),
    est_runtime_s=9 * 3_600.0,
    max_duration_s=2 * 3_600.0,
)
FIRST = 15  # hours from 11:00 until 2:00


def wanted(schedule: Schedule = NIGHTLY, spec: JobSpec = JOB, now_ns: int = NOW) -> Planned:
    found = planned(schedule, spec, UTC, now_ns, STEPS * STEP_S, STEPS)
    assert found is not None
    return found


def nights(days: int, pool: str = "ray", schedule: Schedule = NIGHTLY) -> list[Run]:
    begins = [(NOW // DAY_NS - day) * DAY_NS + 2 * HOUR_NS for day in range(days)]
    return [
        Run(
            attempt_id=f"{schedule.job_id(begin)}-a1",
            user="ann",
            pool=pool,
            resources=NODE,
            started_ns=begin,
            ended_ns=begin + 2 * HOUR_NS,
        )
        for begin in reversed(begins)
    ]


def median(runs: Sequence[Run], *schedules: Planned) -> list[float]:
    outlook = foresee(RAY, runs, NOW, schedules)
    assert outlook is not None
    return list(outlook.quantiles[outlook.levels.index(0.5)])


def test_a_nightly_job_is_planned_for_before_it_has_ever_run() -> None:
    expected = np.zeros(STEPS)
    expected[[FIRST, FIRST + 1, FIRST + 24, FIRST + 25]] = 1.0
    assert median([], wanted()) == pytest.approx(expected)
    outlook = foresee(RAY, [], NOW, [wanted()])
    assert outlook is not None and "No other job has run" in outlook.reason
    assert "nightly, 1 node in 15 h for about 2 h" in outlook.reason


def test_what_a_schedule_ran_is_not_learnt_from_history_as_well() -> None:
    assert median(nights(30), wanted()) == pytest.approx(median([], wanted()))
    paused = wanted(replace(NIGHTLY, paused=True))
    assert foresee(RAY, nights(30), NOW, [paused]) is None
    assert max(median(nights(30))[FIRST : FIRST + 2]) > 0.5, "without the schedule, history would have said it"


def test_durations_are_those_of_its_runs_and_without_one_as_the_job_says() -> None:
    free = replace(JOB, max_duration_s=None, est_runtime_s=6 * 3_600.0)
    new, known = median([], wanted(spec=free)), median(nights(30), wanted(spec=free))
    assert sum(known[:24]) == pytest.approx(2.0, abs=0.3)
    assert sum(new[:24]) == pytest.approx(6.0, abs=0.6)


@pytest.mark.parametrize(
    ("concurrency", "busy"),  # from 11:00 on; each lasts two hours
    [
        (Concurrency.ALLOW, [0, 1, 1.5, 1, 1.5, 1, 0]),
        (Concurrency.FORBID, [0, 1, 1, 0, 1, 1, 0]),
        (Concurrency.REPLACE, [0, 1, 1, 1, 1, 1, 0]),
    ],
)
def test_a_firing_beside_one_that_still_runs_does_as_is_said(concurrency: Concurrency, busy: list[float]) -> None:
    schedule = replace(NIGHTLY, concurrency=concurrency)
    times = tuple(NOW + round(hours * HOUR_NS) for hours in (1, 2.5, 4))
    assert median([], replace(wanted(schedule), at_ns=times))[:7] == pytest.approx(busy)


def test_what_runs_of_it_goes_on_as_such_runs_do() -> None:
    (last,) = nights(1)
    runs = replace(last, started_ns=NOW - HOUR_NS, ended_ns=None)
    assert median([runs], wanted())[:3] == pytest.approx([1.0, 0.0, 0.0])


def test_a_serverless_pool_gets_what_ran_there() -> None:
    there = foresee(BURST, nights(30, "burst"), NOW, [wanted()])
    assert there is not None and max(there.quantiles[-1]) == pytest.approx(1.0)
    assert foresee(BURST, nights(30, "ray"), NOW, [wanted()]) is None


def test_what_fires_all_the_time_is_left_to_history() -> None:
    assert planned(replace(NIGHTLY, cron="*/5 * * * *"), JOB, UTC, NOW, STEPS * STEP_S, STEPS) is None


@settings(max_examples=10)
@given(st.lists(st.integers(1, 40), max_size=4), st.booleans())
def test_what_comes_later_is_not_known(hours: list[int], made_later: bool) -> None:
    """Runs that began later, ends that came later, and a schedule that was made later change nothing."""
    seen = [*nights(9), replace(nights(1)[0], started_ns=NOW - HOUR_NS, ended_ns=None)]
    later = [replace(seen[0], started_ns=NOW + hour * HOUR_NS, ended_ns=None) for hour in hours]
    ended = [*seen[:-1], replace(seen[-1], ended_ns=NOW + HOUR_NS)]
    made = [replace(wanted(), schedule=replace(NIGHTLY, id="9f9f9f", created_ns=NOW + 1))] if made_later else []
    assert foresee(RAY, seen, NOW, [wanted()]) == foresee(RAY, [*ended, *later], NOW, [wanted(), *made])
