"""When schedules fire: clocks that go forward and back, looks at any times, and brokers that were away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.schedules import KEPT, _after, by_hand, cron_of, due, lateness_ns, too_late, upcoming
from broker.model.money import NS_PER_S
from broker.model.schedules import CatchUp, Concurrency, FiringState, Schedule

MINUTE_NS = 60 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


START = at("2026-11-26T00:00")
NIGHTLY = Schedule(
    id="c0ffee",
    name="nightly",
    user="mia",
    cron="0 2 * * *",
    timezone="UTC",
    document="{}",
    created_ns=START,
    decided_ns=START,
)


def fires(cron: str, zone: str, after: str, number: int) -> list[str]:
    times = islice(_after(cron, ZoneInfo(zone), at(after)), number)
    return [datetime.fromtimestamp(ns // NS_PER_S, UTC).isoformat()[:16] for ns in times]


def test_what_falls_into_the_hour_that_is_not_there_fires_once_right_after_it() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["2026-03-29T01:00", "2026-03-30T00:30"]
    assert fires("0,20,40 2 * * *", "Europe/Berlin", "2026-03-29T00:00", 2) == ["2026-03-29T01:00", "2026-03-30T00:00"]


def test_a_fixed_time_in_the_hour_that_is_there_twice_fires_in_the_first() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_looked_at_from_the_second_of_the_two_hours_the_first_does_not_come_again() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10", 1) == ["2026-10-26T01:30"]


@pytest.mark.parametrize("cron", ["*/30 * * * *", "30 * * * *", "30 */1 * * *"])
def test_what_goes_by_elapsed_time_fires_in_both_hours_and_not_in_one_that_is_not_there(cron: str) -> None:
    autumn = fires(cron, "Europe/Berlin", "2026-10-24T23:45", 8)
    assert {"2026-10-25T00:30", "2026-10-25T01:30"} <= set(autumn)
    spring = [datetime.fromisoformat(text) for text in fires(cron, "Europe/Berlin", "2026-03-28T23:45", 6)]
    assert len({later - earlier for earlier, later in pairwise(spring)}) == 1


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
MOMENTS = st.integers(at("2026-01-01T00:00") // MINUTE_NS, at("2027-12-31T00:00") // MINUTE_NS)
CRONS = st.one_of(
    st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
    st.sampled_from(
        ["*/7 * * * *", "5 */2 * * *", "30 1-3 * * *", "0 0 L * *", "0 12 * * MON#2", "15 2,3 * 3,4,10 SUN"]
    ),
)


@given(CRONS, ZONES, MOMENTS, st.integers(0, 3 * 24 * 60))
def test_from_wherever_one_looks_the_times_are_the_same(cron: str, zone: str, start: int, later: int) -> None:
    first, second = start * MINUTE_NS, (start + later) * MINUTE_NS
    seen = list(islice(_after(cron, ZoneInfo(zone), second), 20))
    assert seen == sorted(set(seen))
    assert seen[0] > second
    from_before = [ns for ns in _until(cron, zone, first, seen[-1]) if ns > second]
    assert from_before == seen


def _until(cron: str, zone: str, after_ns: int, until_ns: int) -> list[int]:
    found = []
    for ns in _after(cron, ZoneInfo(zone), after_ns):
        if ns > until_ns:
            break
        found.append(ns)
    return found


@given(st.integers(0, 59), st.integers(0, 23), ZONES, st.integers(0, 600))
def test_a_fixed_time_fires_once_on_each_day_of_its_calendar(minute: int, hour: int, zone: str, day: int) -> None:
    begin = datetime(2026, 1, 1, 12, tzinfo=ZoneInfo(zone)) + timedelta(days=day)
    until = begin + timedelta(days=10)
    times = _until(f"{minute} {hour} * * *", zone, *(int(each.timestamp()) * NS_PER_S for each in (begin, until)))
    days = [datetime.fromtimestamp(ns // NS_PER_S, ZoneInfo(zone)).date() for ns in times]
    assert len(set(days)) == len(days) == 10


LOOKS = st.lists(st.integers(1, 90), min_size=1, max_size=40)


@given(LOOKS, st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *"]), st.integers(0, 240))
def test_whenever_one_looks_each_firing_is_decided_on_once(looks: list[int], cron: str, jitter_s: int) -> None:
    """The expected times are counted by the minute, without a library."""
    schedule = replace(NIGHTLY, cron=cron, catch_up=CatchUp.ALL, jitter_s=float(jitter_s))
    step = {"* * * * *": 1, "*/7 * * * *": 7, "0 * * * *": 60}[cron]
    now, found = START, []
    for minutes in looks:
        now += minutes * MINUTE_NS
        decided = due(schedule, UTC, now, [])
        assert all(firing.state is FiringState.DUE for firing in decided)
        found += [firing.at_ns for firing in decided]
        schedule = replace(schedule, decided_ns=max([schedule.decided_ns, *found]))
    late = lateness_ns(schedule)
    every = range(START + MINUTE_NS, now - late + 1, MINUTE_NS)
    assert found == [ns for ns in every if (ns // MINUTE_NS) % 60 % step == 0]


@given(st.integers(1, 400), st.sampled_from([None, 60.0, 3_600.0]))
def test_after_a_time_away_the_last_firing_is_made_up_for_if_it_is_not_too_late(
    minutes: int, deadline_s: float | None
) -> None:
    schedule = replace(NIGHTLY, cron="*/10 * * * *", starting_deadline_s=deadline_s)
    now = START + minutes * MINUTE_NS
    decided = due(schedule, UTC, now, [])
    assert [firing.at_ns for firing in decided] == list(range(START + 10 * MINUTE_NS, now + 1, 10 * MINUTE_NS))
    for firing in decided[:-1]:
        assert firing.state is FiringState.MISSED
        assert "makes up for it" in firing.reason
    for firing in decided[-1:]:
        on_time = deadline_s is None or now - firing.at_ns <= deadline_s * NS_PER_S
        assert firing.state is (FiringState.DUE if on_time else FiringState.MISSED)


def test_of_years_away_the_last_firings_are_decided_on_and_no_more() -> None:
    decided = due(replace(NIGHTLY, cron="* * * * *", catch_up=CatchUp.ALL), UTC, START + 3_000 * DAY_NS, [])
    assert [firing.at_ns for firing in decided] == [START + 3_000 * DAY_NS - n * MINUTE_NS for n in range(KEPT)][::-1]


def test_an_earlier_job_that_runs_is_in_the_way_only_where_that_is_wanted() -> None:
    states = {}
    for concurrency in Concurrency:
        schedule = replace(NIGHTLY, cron="* * * * *", catch_up=CatchUp.ALL, concurrency=concurrency)
        states[concurrency] = [each.state for each in due(schedule, UTC, START + 2 * MINUTE_NS, ["nightly-before"])]
    assert states == {
        Concurrency.ALLOW: [FiringState.DUE] * 2,
        Concurrency.FORBID: [FiringState.SKIPPED] * 2,
        Concurrency.REPLACE: [FiringState.DUE] * 2,
    }
    forbids = replace(NIGHTLY, cron="* * * * *", catch_up=CatchUp.ALL, concurrency=Concurrency.FORBID)
    first, second = due(forbids, UTC, START + 2 * MINUTE_NS, [])
    assert (first.state, second.state) == (FiringState.DUE, FiringState.SKIPPED)
    assert second.reason == f"{first.job_id} has not ended"


def test_what_is_paused_fires_when_asked_to_and_is_then_never_too_late() -> None:
    paused = replace(NIGHTLY, paused=True, starting_deadline_s=1.0)
    assert due(paused, UTC, START + 9 * DAY_NS, []) == upcoming(paused, UTC, START, 3) == ()
    asked = by_hand(paused, START + 7)
    assert (asked.state, asked.by_hand, too_late(paused, asked, START + DAY_NS)) == (FiringState.DUE, True, "")


def test_jitter_is_the_same_at_each_firing_and_differs_between_schedules() -> None:
    schedules = [replace(NIGHTLY, id=f"{number:06x}", jitter_s=3_600) for number in range(200)]
    late = [lateness_ns(each) for each in schedules]
    assert max(late) < 3_600 * NS_PER_S
    assert len(set(late)) > 150
    first, second = upcoming(schedules[7], UTC, START, 2)
    assert (first - START - 2 * 3_600 * NS_PER_S, second - first) == (late[7], DAY_NS)


def test_a_firing_that_was_decided_on_and_waited_too_long_is_too_late() -> None:
    schedule = replace(NIGHTLY, starting_deadline_s=600)
    (firing,) = due(schedule, UTC, START + 2 * 3_600 * NS_PER_S, [])
    assert too_late(schedule, firing, firing.at_ns + 600 * NS_PER_S) == ""
    assert "601 s late" in too_late(schedule, firing, firing.at_ns + 601 * NS_PER_S)


@given(st.integers(0, 10**6))
def test_ids_of_jobs_are_the_firing_s_own_and_the_job_specification_s(minutes: int) -> None:
    from broker.spec.document import _ID

    first, second = NIGHTLY.job_id(START + minutes * MINUTE_NS), NIGHTLY.job_id(START + (minutes + 1) * MINUTE_NS)
    asked = NIGHTLY.job_id(START + minutes * MINUTE_NS + 1)
    assert len({first, second, asked}) == 3
    longest = replace(NIGHTLY, name="n" * 24).job_id(START + 59 * NS_PER_S + NS_PER_S - 1)
    assert all(_ID.fullmatch(each) for each in (first, second, asked, longest))


@pytest.mark.parametrize(
    ("cron", "word"),
    [
        ("", "five fields"),
        ("* * * * * *", "five fields"),
        ("0 25 * * *", "hour"),
        ("0 0 30 2 *", "day-of-month"),
        ("@reboot", "five fields"),
        ("0 0 * * FRIDAY", "day-of-week"),
    ],
)
def test_what_is_no_expression_is_refused(cron: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        cron_of(cron, START)


def test_names_stand_for_expressions() -> None:
    assert cron_of(" @Daily ", START) == "0 0 * * *"
    assert cron_of("0  2 * * mon-fri", START) == "0 2 * * mon-fri"
