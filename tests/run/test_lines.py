"""What leaves its place is room for the queue, but where the next in line takes it over: then when half of that has."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from broker.decide.progress import attempt_of
from broker.model.jobs import AttemptState, JobSpec
from broker.run.attempts.lines import Lines
from broker.run.attempts.live import Held
from tests.decide.placing import NOW, cluster, decide_all, job, l4, spec, state

ENDED = AttemptState.SUCCEEDED
SPEC = spec(l4(1), est_runtime_s=0.01)


def held(name: str, of: JobSpec = SPEC, *, in_line: bool = False) -> Held:
    (placement,) = decide_all([spec(*of.resources.gpu_choices)], state(cluster()))
    assert placement.chosen is not None
    quote = replace(placement.chosen, available_now=not in_line)
    one = job(of, name)
    return Held(job=one, attempt=attempt_of(one, placement, NOW), quote=quote, launched=True)


def filled(count: int) -> tuple[Lines, Held, list[Held]]:
    """Lines after so many were placed behind one that runs: they, that one, and those that wait."""
    lines, waiting = Lines(), [held(f"w{number}", in_line=True) for number in range(count)]
    lines.joined(waiting, [held("r"), *waiting])
    return lines, held("r"), waiting


def looks(lines: Lines, left: Held, live: Sequence[Held], state: AttemptState = ENDED) -> bool:
    return lines.leave_room([(left, state)], live)


def test_nobody_looks_at_the_queue_until_half_of_the_line_has_gone() -> None:
    lines, running, waiting = filled(5)
    assert [looks(lines, running, waiting[gone:]) for gone in range(6)] == [False, False, False, True, True, True]


def test_who_begins_out_of_the_line_has_left_it() -> None:
    lines, _, waiting = filled(4)
    assert not looks(lines, waiting[0], waiting[1:], AttemptState.RUNNING)
    assert looks(lines, waiting[1], waiting[2:], AttemptState.RUNNING)


def test_what_is_added_counts_from_then_on() -> None:
    lines, running, waiting = filled(4)
    lines.joined([held("new", in_line=True)], [running, *waiting[2:], held("new", in_line=True)])
    assert not looks(lines, running, waiting[2:])
    lines.joined([held("has a place")], waiting[:1])
    assert looks(lines, running, waiting[:1])


def test_without_a_line_every_end_is_room() -> None:
    lines, running, _ = filled(0)
    assert looks(lines, running, [])
    assert not lines.leave_room([], [])


def test_a_line_that_was_found_is_filled_as_ever() -> None:
    """After a restart: how long it was is not known."""
    _, running, waiting = filled(9)
    assert looks(Lines(), running, waiting)


@pytest.mark.parametrize("state", [AttemptState.INTERRUPTED, AttemptState.REFUSED, AttemptState.CANCELLED])
def test_nobody_may_have_taken_over_what_was_lost(state: AttemptState) -> None:
    lines, running, waiting = filled(9)
    assert looks(lines, running, waiting, state)


@pytest.mark.parametrize(
    "of",
    [
        spec(l4(2), est_runtime_s=0.01),
        replace(SPEC, resources=replace(SPEC.resources, extra={"tpu": 1.0})),
        replace(SPEC, setup="make"),
        replace(SPEC, runtime="ray"),
    ],
    ids=["other GPUs", "custom resources", "another environment", "a Ray program"],
)
def test_the_place_of_another_kind_is_room(of: JobSpec) -> None:
    lines, _, waiting = filled(9)
    assert looks(lines, held("other", of), waiting)
