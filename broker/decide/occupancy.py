"""What a pool's executor reports and what we know to run in it → its units with what is free of each over time.

An executor's report may lag behind what was just launched. So the smaller counts: what it says is free, and what our
own attempts leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.decide.duration import remaining_s
from broker.decide.pool_state import PoolState, RunningAttempt
from broker.decide.profile import Amounts, Profile, amounts, covers, less
from broker.model.money import NS_PER_S
from broker.model.pools import PoolKind, UnitState
from broker.model.resources import Resources

# An attempt that has outlived its estimate is not over yet.
_SOONEST_END_S: Final = 1.0


@dataclass(slots=True)
class Unit:
    """A node or container that is up, coming up, or (container) about to be started for an attempt."""

    total: Resources
    size: Amounts  # `total` as profiles count it
    profile: Profile
    warm_key: str | None  # "": fits every environment; None: none that is known
    ready: bool = True

    def is_warm_for(self, key: str) -> bool:
        """Whether a job with this environment can run in it as it is."""
        return self.warm_key in ("", key)


@dataclass(slots=True)
class _Filling:
    """A unit while attempts are assigned to it."""

    state: UnitState
    own_free: Amounts
    unexplained: Amounts  # reported as held, by attempts not assigned yet
    releases: list[tuple[float, Amounts]] = field(default_factory=list)

    def assign(self, need: Amounts, remaining_s: float) -> None:
        self.own_free = less(self.own_free, need)
        self.unexplained = less(self.unexplained, need)
        self.releases.append((max(remaining_s, _SOONEST_END_S), need))

    def unit(self) -> Unit:
        reported, own = self.state.free, self.own_free
        free = (min(reported.cpus, own[0]), min(reported.memory_bytes, own[1]), min(reported.gpus, own[2]))
        size = amounts(self.state.total)
        return Unit(self.state.total, size, Profile(free, size, self.releases), self.state.warm_key, self.state.ready)


def units_of(state: PoolState) -> list[Unit]:
    """The units of a pool, in the order of its report, and those that accepted attempts will still bring up."""
    reported = state.capacity.units if state.capacity else ()
    filling = [
        _Filling(
            state=unit,
            own_free=amounts(unit.total),
            unexplained=less((unit.total.cpus, 0.0, unit.total.gpus), (unit.free.cpus, 0.0, unit.free.gpus)),
        )
        for unit in reported
    ]
    by_id = {place.state.unit_id: place for place in filling}
    coming: list[Unit] = []
    for attempt in state.running:
        if attempt.unit_ids:
            places = [by_id[unit_id] for unit_id in dict.fromkeys(attempt.unit_ids) if unit_id in by_id]
        else:
            places = _likely(filling, attempt)
        for place in places:
            place.assign(amounts(attempt.resources), attempt.remaining_s)
        if state.pool.kind is PoolKind.SERVERLESS and not places and not attempt.in_line:
            coming.append(_coming(attempt))
    return [_coming_up(place.state, state) or place.unit() for place in filling] + coming


def _coming_up(node: UnitState, state: PoolState) -> Unit | None:
    """A node that boots and takes nothing until it is up: all of it is free from then on."""
    if state.pool.kind is not PoolKind.CLUSTER or node.ready or node.free.cpus or state.capacity is None:
        return None
    age_s = (state.capacity.as_of_ns - (node.asked_ns or state.capacity.as_of_ns)) / NS_PER_S
    total, left_s = amounts(node.total), remaining_s(state.pool.cold_start_s, age_s)
    profile = Profile((0.0, 0.0, 0.0), total, [(max(left_s, _SOONEST_END_S), total)])
    return Unit(node.total, total, profile, node.warm_key)


def _likely(filling: Sequence[_Filling], attempt: RunningAttempt) -> list[_Filling]:
    """The units that an attempt most likely holds, whose executor does not say."""
    need = amounts(attempt.resources)
    visible = (need[0], 0.0, attempt.resources.gpus)
    model = attempt.resources.gpu_model
    of_model = [place for place in filling if not model or place.state.total.gpu_model == model]
    held = [place for place in of_model if covers(place.unexplained, visible)]
    if attempt.in_line:
        return held[:1]  # it has taken a place over, which is not known yet, or holds nothing
    free = [place for place in of_model if covers(place.own_free, need) and place not in held]
    return (held + free)[: attempt.num_nodes]


def _coming(attempt: RunningAttempt) -> Unit:
    total = amounts(attempt.resources)
    releases = [(max(attempt.remaining_s, _SOONEST_END_S), total)]
    return Unit(attempt.resources, total, Profile((0.0, 0.0, 0.0), total, releases), None)
