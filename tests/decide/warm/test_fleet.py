"""A fleet of warm containers, held against one that is played second by second with objects and no events."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.warm import idle_times, play
from broker.decide.workload import Workload
from broker.model.pools import KeepWarm


@dataclass(eq=False)
class Box:
    number: int
    shape: int
    ready: int
    jobs: int = 0
    since: int = 0  # idle


class Fleet:
    """Seconds pass one by one; what a container is in a second is paid for that second."""

    def __init__(self, kept: KeepWarm, cold_s: int, room: int) -> None:
        self.kept, self.cold_s, self.room = kept, cold_s, room
        self.made = 0
        self.busy: list[Box] = []
        self.coming: list[Box] = []
        self.resting: list[Box] = []
        self.ends: list[tuple[int, int, Box]] = []
        self.cold = self.ahead = self.idle = self.held = self.last = 0

    def run(self, jobs: list[tuple[int, int, int]]) -> None:
        left, now = sorted(jobs, key=lambda job: job[0]), 0
        while left or self.ends or self.coming:
            while self.something(now, left):
                if self.made and (left or self.ends):
                    self.fill(now)
            self.pay(now)
            now += 1
        self.idle += sum(max(int(self.kept.scaledown_window_s) - now + box.since, 0) for box in self.resting)

    def something(self, now: int, left: list[tuple[int, int, int]]) -> bool:
        """The next thing that happens in this second; False where nothing does any more."""
        if self.ends and min(self.ends)[0] == now:
            self.ends.remove(end := min(self.ends))
            end[2].jobs -= 1
            if not end[2].jobs:
                self.busy.remove(end[2])
                self.rest(end[2], now)
        elif any(box.ready == now for box in self.coming):
            box = next(box for box in self.coming if box.ready == now)
            self.coming.remove(box)
            self.rest(box, now)
        elif left and left[0][0] == now:
            self.come(*left.pop(0)[1:], now)
        else:
            return False
        return True

    def rest(self, box: Box, now: int) -> None:
        box.since = now
        self.resting.append(box)

    def come(self, duration: int, shape: int, now: int) -> None:
        self.last, start = shape, now
        if box := next((b for b in self.busy if b.shape == shape and b.jobs < self.room and b.ready <= now), None):
            pass
        elif box := next((b for b in reversed(self.resting) if b.shape == shape), None):
            self.resting.remove(box)
            self.busy.append(box)
        else:
            box, start = self.new(shape, now), now + self.cold_s
            self.busy.append(box)
            self.cold += 1
        box.jobs += 1
        self.ends.append((start + duration, box.number, box))

    def new(self, shape: int, now: int) -> Box:
        self.made += 1
        return Box(self.made, shape, now + self.cold_s)

    def keep(self) -> int:
        busy = len(self.busy)
        return max(self.kept.min_containers - busy, self.kept.buffer_containers if busy else 0, 0)

    def fill(self, now: int) -> None:
        while len(self.resting) + len(self.coming) < self.keep():
            self.coming.append(self.new(self.last, now))
            self.ahead += 1

    def pay(self, now: int) -> None:
        while len(self.resting) > self.keep() and self.resting[0].since + self.kept.scaledown_window_s <= now:
            self.resting.pop(0)
        self.idle += len(self.resting)
        self.held += len(self.busy)


def workload(jobs: list[tuple[int, int, int]]) -> Workload:
    submit, duration, shape = zip(*jobs, strict=True)
    return Workload.of(submit, duration, np.ones(len(jobs)), kind=[str(each) for each in shape])


jobs_of_two_shapes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(0, 1)), min_size=1, max_size=14
)
kept_ways = st.builds(
    KeepWarm,
    scaledown_window_s=st.integers(0, 30).map(float),
    min_containers=st.integers(0, 3),
    buffer_containers=st.integers(0, 3),
)


@given(jobs=jobs_of_two_shapes, kept=kept_ways, cold=st.integers(0, 8))
@settings(deadline=None, max_examples=200)
def test_it_costs_what_a_fleet_costs_second_by_second(
    jobs: list[tuple[int, int, int]], kept: KeepWarm, cold: int
) -> None:
    slow = Fleet(kept, cold, room=1)
    slow.run(jobs)
    found = play(workload(jobs), kept, float(cold))
    assert (found.cold_starts, found.started_ahead) == (slow.cold, slow.ahead)
    assert found.held_gpu_s == slow.held
    if not kept.min_containers:  # those end with the last job, the others with their window
        assert found.idle_gpu_s == slow.idle


@given(
    jobs=jobs_of_two_shapes,
    kept=kept_ways,
    room=st.integers(1, 4),
)
@settings(deadline=None, max_examples=80)
def test_work_is_never_lost_and_sharing_never_costs_more_containers(
    jobs: list[tuple[int, int, int]], kept: KeepWarm, room: int
) -> None:
    found = play(workload(jobs), kept, 3.0, jobs_per_container=room)
    work = sum(duration for _, duration, _ in jobs)
    assert work / room <= found.held_gpu_s + 1e-9 <= work + 3.0 * found.cold_starts + 1e-6
    assert 0 < found.cold_starts <= len(jobs)
    if room == 1:
        assert found.held_gpu_s == pytest.approx(work + 3.0 * found.cold_starts)


@given(jobs=jobs_of_two_shapes, window=st.floats(0.0, 100.0))
@settings(deadline=None, max_examples=80)
def test_a_window_alone_is_what_the_idle_times_say(jobs: list[tuple[int, int, int]], window: float) -> None:
    seen = Workload.of(*zip(*[each[:2] for each in jobs], strict=True), np.ones(len(jobs)))
    found, idle = play(seen, KeepWarm(scaledown_window_s=window), 0.0), idle_times(seen)
    assert found.cold_starts == idle.cold_starts(window)
    assert found.idle_gpu_s == pytest.approx(idle.tail_gpu_s(window))


def test_a_setting_holds_from_its_time_on() -> None:
    seen = workload([(0, 1, 0), (20, 1, 0), (40, 1, 0), (60, 1, 0)])
    none, long = KeepWarm(scaledown_window_s=0.0), KeepWarm(scaledown_window_s=30.0)
    found = play(seen, [(0.0, none), (30.0, long)], 0.0)
    assert found.cold_starts == 3
    assert found.idle_gpu_s == 19 + 30


def test_containers_that_are_kept_are_paid_for_to_the_end() -> None:
    seen = workload([(0, 10, 0), (50, 10, 0)])
    found = play(seen, KeepWarm(scaledown_window_s=0.0, min_containers=2), 1.0, until_s=100.0)
    assert (found.cold_starts, found.started_ahead) == (1, 1)
    assert found.held_gpu_s == 21
    first_s, second_s = (50 - 11) + (100 - 60), 100 - 1
    assert found.idle_gpu_s == first_s + second_s
