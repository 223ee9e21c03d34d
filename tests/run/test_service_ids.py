"""Ids of jobs: unique whatever the clock does, sorted by time while it goes forward, plain to read."""

import re

from hypothesis import given
from hypothesis import strategies as st

from broker.run.service.ids import Ids

IN_2026_NS = 1_795_000_000 * 10**9
IN_2042_NS = 2_300_000_000 * 10**9
TIMES = st.integers(IN_2026_NS, IN_2042_NS)


@given(st.lists(TIMES, min_size=1, max_size=50))
def test_ids_never_repeat_and_always_grow(times: list[int]) -> None:
    ids = Ids()
    made = [ids.new(time) for time in times]
    assert made == sorted(set(made))


@given(TIMES, TIMES)
def test_ids_of_different_processes_sort_by_time(one: int, other: int) -> None:
    if one // 10**6 < other // 10**6 - 1:
        assert Ids().new(one) < Ids().new(other)


@given(TIMES)
def test_an_id_has_eight_plain_characters_and_begins_with_a_letter(time: int) -> None:
    assert re.fullmatch(r"[g-z][0-9a-hjkmnp-tv-z]{7}", Ids().new(time))
