"""Placements of a round → those worth storing: why a job waits is stored when it changes, and now and then.

In each round the numbers change, of seconds and of those that came before; for a long queue to be written anew each
second costs more than its jobs do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeAlias

from broker.decide.holding import held
from broker.model.money import NS_PER_S
from broker.model.placement import Placement, Verdict
from broker.run.lately import Lately

AGAIN_S: Final = 10.0  # how old the numbers of a wait may be that is stored
_KEPT: Final = 16_384  # jobs

_Cause: TypeAlias = Hashable


class Waits:
    """Why jobs wait, as it was stored last."""

    def __init__(self) -> None:
        self._told: Lately[str, tuple[_Cause, int]] = Lately(_KEPT)

    def news(self, decided: Sequence[Placement]) -> list[Placement]:
        """Those that say something new."""
        told = self._told.of(each.job_id for each in decided)
        return [each for each in decided if not _is_old(each, told.get(each.job_id))]

    def stored(self, placements: Iterable[Placement]) -> None:
        """These are in the store."""
        self._told.put({each.job_id: (_cause(each), each.at_ns) for each in placements})


def _is_old(placement: Placement, told: tuple[_Cause, int] | None) -> bool:
    if told is None or placement.verdict is not Verdict.WAIT or held(placement):
        return False
    cause, at_ns = told
    return cause == _cause(placement) and placement.at_ns < at_ns + AGAIN_S * NS_PER_S


def _cause(placement: Placement) -> _Cause:
    """What a wait is for, without the numbers."""
    refusals = tuple((each.pool, each.constraint) for each in placement.refusals)
    pools = tuple((each.pool, each.available_now) for each in placement.others)
    return placement.verdict, placement.chosen and placement.chosen.pool, pools, refusals
