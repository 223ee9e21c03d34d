"""What is paid for is kept, and times never go back."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.testing.builders import SMALL
from executors.local_serverless.lives import Lives
from executors.on_machine.clock import SteadyClock
from executors.on_machine.journal import Journal


@given(st.lists(st.tuples(st.integers(0, 10**18), st.integers(0, 10**9)), min_size=1, max_size=20))
def test_the_clock_never_goes_back(readings: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic_ns", lambda: 0)
        clock, monotonic, last = SteadyClock(5), 0, 5
        for wall_ns, passed_ns in readings:
            monotonic += passed_ns
            patch.setattr(time, "time_ns", lambda wall_ns=wall_ns: wall_ns)
            patch.setattr(time, "monotonic_ns", lambda monotonic=monotonic: monotonic)
            now = clock.now_ns()
            assert now >= last + passed_ns and now >= wall_ns
            last = now


def lives_in(folder: Path) -> Lives:
    return Lives(folder, Journal(folder / "journal.jsonl"))


def test_a_life_that_was_left_open_ends_when_its_host_was_last_seen(tmp_path: Path) -> None:
    lives = lives_in(tmp_path)
    life = lives.begin("c-1", SMALL, "j-a1")
    seen_ns = lives.beat()
    (found,) = lives_in(tmp_path).since(0)
    assert found == life | {"ended_ns": seen_ns}


def test_a_new_host_s_clock_is_ahead_of_all_that_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = lives_in(tmp_path)
    lives.begin("c-1", SMALL, None)
    seen_ns = lives.beat()
    monkeypatch.setattr(time, "time_ns", lambda: seen_ns - 10**12)
    later = lives_in(tmp_path)
    assert later.clock.now_ns() >= seen_ns
    assert later.begin("c-2", SMALL, None)["started_ns"] >= seen_ns


def test_what_was_read_is_dropped_once_nobody_needs_it(tmp_path: Path) -> None:
    lives = lives_in(tmp_path)
    for name in ("c-1", "c-2", "c-3"):
        life = lives.begin(name, SMALL, None)
        if name != "c-3":
            lives.note(life | {"ended_ns": lives.clock.now_ns()})
    lives.trim(lives.clock.now_ns(), {"c-2"})
    assert [life["attempt_id"] for life in lives.since(0)] == ["c-2", "c-3"]
    assert {life["attempt_id"] for life in lives_in(tmp_path).since(0)} == {"c-2", "c-3"}
