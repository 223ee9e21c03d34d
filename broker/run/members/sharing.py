"""What of the queue this broker decides about: its share first, and starts only in the pools that it drives.

A job that does best in another broker's pool is left to that one, which counts with what the pool really has at that
moment. Each broker looks at its share of the jobs all the time, and at all of them now and then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

from broker.model.leases import LEADER
from broker.model.money import NS_PER_S
from broker.model.placement import Placement, Verdict
from broker.run.members.membership import Membership
from broker.run.pools import RunningPool

PATIENCE_NS: Final = 3 * NS_PER_S  # then a job that others were left is started here, if there is room
_FORGET: Final = 10_000


class Sharing:
    """Divides the queue among the brokers that drive pools."""

    def __init__(self, membership: Membership, pools: Mapping[str, RunningPool]) -> None:
        self._membership = membership
        self._pools = pools
        self._left: dict[str, int] = {}  # job id -> since when it is left to another broker

    @property
    def brokers(self) -> int:
        """How many decide."""
        return len(self._drivers) or 1

    @property
    def may_dispatch(self) -> bool:
        """Whether this one does: it drives a pool, and nobody can have taken over."""
        return self._membership.member.id in self._drivers and self._membership.sure

    @property
    def _drivers(self) -> list[str]:
        return sorted({each.holder for each in self._membership.standing.leases if each.holder and each.name != LEADER})

    def is_mine(self, job_id: str) -> bool:
        """Whether a job is in this broker's share."""
        drivers = self._drivers
        return drivers[crc32(job_id.encode()) % len(drivers)] == self._membership.member.id

    def own(self, placements: Sequence[Placement], now_ns: int) -> list[Placement]:
        """Those that are this broker's to record."""
        return [each for each in placements if self._is_own(each, now_ns)]

    def _is_own(self, placement: Placement, now_ns: int) -> bool:
        if placement.verdict is Verdict.RUN and placement.chosen is not None:
            if self._pools[placement.chosen.pool].elsewhere is None:
                self._left.pop(placement.job_id, None)
                return True
            if len(self._left) >= _FORGET:
                self._left.clear()
            self._left.setdefault(placement.job_id, now_ns)
            return False
        if placement.verdict is Verdict.WAIT:
            return self.is_mine(placement.job_id)
        return not any(each.view == "" and each.name not in self._pools for each in self._membership.standing.leases)

    def avoid(self, known: Mapping[str, Mapping[str, int]], now_ns: int) -> Mapping[str, Mapping[str, int]]:
        """Pools that jobs stay away from: those known, and others' that did not start a job left to them."""
        late = [job_id for job_id, since_ns in self._left.items() if now_ns - since_ns > PATIENCE_NS]
        if not late:
            return known
        others = {name: now_ns + NS_PER_S for name, pool in self._pools.items() if pool.elsewhere is not None}
        return {**known, **{job_id: {**others, **known.get(job_id, {})} for job_id in late}}
