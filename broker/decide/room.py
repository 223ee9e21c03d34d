"""The units of a pool over time → the places where a job could run in it, and what is left when it takes one.

A room is made for one decision and forgotten with it: reservations made in it are how one round of placements sees
its own earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import inf
from typing import TypeAlias

from broker.decide.occupancy import Unit, units_of
from broker.decide.pool_state import PoolState
from broker.decide.profile import Amounts, Profile, amounts, covers
from broker.model.money import NS_PER_S
from broker.model.pools import Capability, PoolKind
from broker.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a job would hold, for how long it is thought to."""

    resources: Resources  # on each node
    nodes: int
    duration_s: float
    key: str  # its environment, for warm containers


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place for a job in a pool."""

    now: bool  # no other attempt has to end first
    start_in_s: float  # expected, boot or cold start included
    units: tuple[int, ...]  # that are there already
    fresh: int  # units to be started for it
    total: Resources  # of one unit
    cold: bool  # a unit has to be started, or emptied for another environment


_Entry: TypeAlias = tuple[float, float, float, int]  # start, GPUs and CPUs of the unit left at first, index


class Room:
    """What one pool has free, now and later."""

    def __init__(self, state: PoolState, now_ns: int) -> None:
        self._pool = state.pool
        self._units = units_of(state)
        self._serverless = state.pool.kind is PoolKind.SERVERLESS
        self._queues: dict[tuple[Need, bool], list[_Entry]] = {}
        self._held_back_s = 0.0
        self._extra_bytes = state.capacity.extra_bytes if state.capacity else 0
        limit = 0
        self._gives_way_s = 0.0 if state.capacity and state.capacity.replaces_idle else state.pool.scaledown_window_s
        if state.capacity:
            self._held_back_s = max(state.capacity.backoff_until_ns - now_ns, 0) / NS_PER_S
            limit = state.capacity.max_units
        grows = self._serverless or Capability.SCALE in state.pool.capabilities
        self._growth = max(limit - len(self._units), 0) if grows else 0
        self._gpus_left = (len(self._pool.devices) or inf) - sum(unit.total.gpus for unit in self._units)

    def idle_now(self, model: str) -> tuple[float, float]:
        """GPUs of a model, or virtual CPUs where it is "", that are free now, and that there are."""
        at = 2 if model else 0
        units = [unit for unit in self._units if not model or unit.total.gpu_model == model]
        return sum(unit.profile.now[at] for unit in units), sum(unit.size[at] for unit in units)

    def warm_units(self, key: str) -> int:
        """Containers that hold an environment."""
        return sum(unit.is_warm_for(key) for unit in self._units)

    def spots(self, need: Need) -> tuple[Spot, ...]:
        """Where a job could run: at most one place now and paid, one that has to be started, one that comes free."""
        if self._serverless:
            return self._in_containers(need)
        there = self._on_nodes(need)
        if there is not None and there.now:
            return (there,)
        started = self._with_started_nodes(need)
        return tuple(spot for spot in (started, there) if spot is not None)

    def take(self, need: Need, spot: Spot) -> None:
        """Reserves a place."""
        held = amounts(need.resources)
        until_s = spot.start_in_s + need.duration_s
        from_s = 0.0 if spot.now else spot.start_in_s
        for index in spot.units:
            unit = self._units[index]
            if spot.cold and self._serverless:
                self._gpus_left += unit.total.gpus - need.resources.gpus
                unit.warm_key = need.key
                unit.profile.take(unit.size, from_s, until_s)
                self._queues.clear()
            else:
                unit.profile.take(held, from_s, until_s)
        for _ in range(spot.fresh):
            profile = _fresh(spot)
            profile.take(held, from_s, until_s)
            self._units.append(Unit(spot.total, amounts(spot.total), profile, need.key, ready=False))
        if spot.fresh:
            self._growth -= spot.fresh
            self._gpus_left -= spot.fresh * spot.total.gpus
            self._queues.clear()

    def _in_containers(self, need: Need) -> tuple[Spot, ...]:
        warm = self._first(need, warm=True) if need.nodes == 1 else None
        spots = [self._spot(warm, warm[0])] if warm and not warm[0] else []
        if self._growth >= need.nodes and self._gpus_left >= need.nodes * need.resources.gpus:
            start_s = self._held_back_s + self._pool.cold_start_s
            now, total = not self._held_back_s, self._container(need)
            spots.append(Spot(now=now, start_in_s=start_s, units=(), fresh=need.nodes, total=total, cold=True))
        if spots or need.nodes > 1:
            return tuple(spots)
        other = self._first(need, warm=False)
        if warm:
            spots.append(self._spot(warm, warm[0]))
        if other:
            # A container of another environment ends, at the latest after its window; then one of ours can start.
            wait_s = (other[0] or self._gives_way_s) + self._held_back_s
            spots.append(self._in_place_of(other, wait_s, need))
        return tuple(spots)

    def _spot(self, entry: _Entry, start_s: float) -> Spot:
        total = self._units[entry[3]].total
        return Spot(now=not start_s, start_in_s=start_s, units=(entry[3],), fresh=0, total=total, cold=False)

    def _in_place_of(self, entry: _Entry, wait_s: float, need: Need) -> Spot:
        start_s, total = wait_s + self._pool.cold_start_s, self._container(need)
        return Spot(now=not wait_s, start_in_s=start_s, units=(entry[3],), fresh=0, total=total, cold=True)

    def _container(self, need: Need) -> Resources:
        return self._pool.container(need.resources, self._extra_bytes)

    def _on_nodes(self, need: Need) -> Spot | None:
        if need.nodes > 1:
            return self._on_several_nodes(need)
        first = self._first(need, warm=True)
        if first is None:
            return None
        return self._on_these(need, first[0], (first[3],))

    def _on_several_nodes(self, need: Need) -> Spot | None:
        fitting = [index for index, unit in enumerate(self._units) if self._fits(unit, need)]
        held = amounts(need.resources)
        times = sorted({at_s for index in fitting for at_s in self._units[index].profile.changes()})
        for at_s in times:
            free = [i for i in fitting if self._units[i].profile.earliest(held, need.duration_s, at_s) == at_s]
            if len(free) >= need.nodes:
                return self._on_these(need, at_s, tuple(free[: need.nodes]))
        return None

    def _on_these(self, need: Need, free_s: float, units: tuple[int, ...]) -> Spot:
        booting = any(not self._units[index].ready for index in units)
        start_s = max(free_s, self._pool.cold_start_s if booting else 0.0)
        total = self._units[units[0]].total
        return Spot(now=not free_s, start_in_s=start_s, units=units, fresh=0, total=total, cold=False)

    def _with_started_nodes(self, need: Need) -> Spot | None:
        if not self._growth:
            return None
        held = amounts(need.resources)
        free = [
            index
            for index, unit in enumerate(self._units)
            if need.nodes > 1 and self._fits(unit, need) and unit.profile.earliest(held, need.duration_s) == 0.0
        ][: need.nodes]
        fresh = need.nodes - len(free)
        if fresh > self._growth:
            return None
        start_s = self._held_back_s + self._pool.cold_start_s
        now = not self._held_back_s
        return Spot(now=now, start_in_s=start_s, units=tuple(free), fresh=fresh, total=self._pool.unit, cold=True)

    def _fits(self, unit: Unit, need: Need) -> bool:
        return not need.resources.gpus or unit.total.gpu_model == need.resources.gpu_model

    def _first(self, need: Need, *, warm: bool) -> _Entry | None:
        """The unit that has room first; of those that have it now, the one that was fullest.

        Reservations only ever make starts later, so entries of the queue are brought up to date as they come up.
        """
        queue = self._queues.get((need, warm))
        if queue is None:
            queue = self._queues[need, warm] = self._queue(need, warm)
        while queue:
            start_s, gpus, cpus, index = queue[0]
            if start_s == inf:
                return None
            now_s = _start(self._units[index], amounts(need.resources) if warm else None, need.duration_s, start_s)
            if now_s == start_s:
                return queue[0]
            heapreplace(queue, (now_s, gpus, cpus, index))
        return None

    def _queue(self, need: Need, warm: bool) -> list[_Entry]:
        held = amounts(need.resources)
        wanted = held if warm else None
        queue = [
            (start_s, unit.profile.now[2], unit.profile.now[0], index)
            for index, unit in enumerate(self._units)
            if self._is_candidate(unit, need, held, warm)
            and (start_s := _start(unit, wanted, need.duration_s, 0.0)) < inf
        ]
        heapify(queue)
        return queue

    def _is_candidate(self, unit: Unit, need: Need, held: Amounts, warm: bool) -> bool:
        if not self._serverless:
            return self._fits(unit, need)
        if not warm and unit.total.gpus + self._gpus_left < need.resources.gpus:
            return False
        return warm == (unit.is_warm_for(need.key) and self._fits(unit, need) and covers(unit.size, held))


def _start(unit: Unit, held: Amounts | None, duration_s: float, from_s: float) -> float:
    """From when on a unit has room, all of it where nothing smaller is named; infinity: never."""
    start_s = unit.profile.earliest(held or unit.size, duration_s, from_s)
    return inf if start_s is None else start_s


def _fresh(spot: Spot) -> Profile:
    """A unit that is started for a spot: of use to others from now on, or once the pool starts units again."""
    total = amounts(spot.total)
    return Profile(total, total) if spot.now else Profile((0.0, 0.0, 0.0), total, [(spot.start_in_s, total)])
