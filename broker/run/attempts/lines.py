"""Lines of pools, as they were filled and as they are → whether what comes free is room for somebody in the queue.

A place that the next in line takes over at once is not. A line is filled again when half of it has gone, not for each
that leaves it: a look at the queue costs more than many short jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeAlias

from broker.model.environment import environment_key
from broker.model.jobs import AttemptState
from broker.run.attempts.live import Held

Freed: TypeAlias = tuple[Held, AttemptState]  # what left its place, as it was there, and the state that it has now
_Kind: TypeAlias = Hashable  # attempts of one kind can take over each other's places

# After these ends the next in line has the place; after others nobody may, as the node or container may be gone.
_PASSED_ON: Final = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED})


class Lines:
    """How long the line of each kind was when it was last added to."""

    def __init__(self) -> None:
        self._filled: dict[_Kind, int] = {}

    def joined(self, placed: Iterable[Held], live: Iterable[Held]) -> None:
        """These were placed, some of them in line perhaps, and are among those that are live."""
        if kinds := {_kind(held) for held in placed if held.in_line}:
            there = _waiting(live)
            self._filled |= {kind: there[kind] for kind in kinds}

    def leave_room(self, freed: Sequence[Freed], live: Iterable[Held]) -> bool:
        """Whether the queue is worth a look now that these have left their places, in the pool or in line."""
        if not self._filled or not freed:
            return bool(freed)
        there = _waiting(live)
        return any(self._is_room(_kind(held), state, there) for held, state in freed)

    def _is_room(self, kind: _Kind, state: AttemptState, there: Counter[_Kind]) -> bool:
        if state.ended and state not in _PASSED_ON:
            return True
        filled = self._filled.get(kind)
        if not there[kind]:
            self._filled.pop(kind, None)
        return filled is None or 2 * there[kind] <= filled


def _waiting(live: Iterable[Held]) -> Counter[_Kind]:
    return Counter(_kind(held) for held in live if held.in_line)


def _kind(held: Held) -> _Kind:
    spec, attempt = held.job.spec, held.attempt
    shape = (spec.resources.num_nodes, *sorted(spec.resources.extra.items()))
    return attempt.pool, attempt.resources, shape, spec.runtime, environment_key(spec)
