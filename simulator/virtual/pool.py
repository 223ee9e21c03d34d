"""A pool in virtual time: does what its executor would do, and says what it would say, but runs nothing.

Its methods are those of the port, without the waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.decide.spot import LEAVES
from broker.model.errors import NoCapacity
from broker.model.jobs import Attempt, AttemptReport, AttemptState
from broker.model.pools import Capacity, Pool, PoolKind
from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, UsageReport
from simulator.virtual.clock import Action, VirtualClock
from simulator.virtual.unit import Unit

JUST_NS = 10**9
Report = Callable[[AttemptReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a pool takes, in seconds, beyond its cold start and its window."""

    launch_s: float = 0.0  # from a place in a unit that is ready to the command's first instruction
    gather_s: float = 0.0  # more than that, where a gang takes over what was just left
    finish_s: float = 0.0  # from the command's end until the broker is told; so long it holds its place
    autoscales: bool = False  # a cluster starts nodes for attempts that found no room, and ends them when idle
    node_idle_s: float = 300.0  # before it does
    oldest_first: bool = False  # of warm containers, the first that was started, not the last that became idle


@dataclass(eq=False, slots=True)
class Running:
    """An attempt that a pool runs."""

    attempt: Attempt
    nodes: int
    work_s: float
    key: str
    launched_ns: int
    units: tuple[Unit, ...] = ()
    started_ns: int | None = None
    ended: bool = False


class SimPool:
    """One pool. `report` is told what becomes of attempts, and `there` is called when a node has come up."""

    def __init__(
        self, pool: Pool, timing: Timing, clock: VirtualClock, report: Report, there: Action, nodes: int = 0
    ) -> None:
        self.pool = pool
        self._timing, self._clock, self._tell, self._there = timing, clock, report, there
        self._cluster = pool.kind is PoolKind.CLUSTER
        self._grows = timing.autoscales or not self._cluster
        self._least, self._most = nodes, pool.max_units
        self.started = 0  # units, ever
        self._waiting: list[Running] = []
        self._metered: list[AttemptUsage] = []
        self._ended: list[Unit] = []
        self.running: dict[str, Running] = {}
        self.up: dict[str, Unit] = {}
        for _ in range(nodes):
            self._ready(self._new(pool.unit, "", None))

    def launch(self, attempt: Attempt, nodes: int, work_s: float, key: str) -> None:
        """Accepts an attempt whose command will run `work_s` seconds. Raises `NoCapacity`."""
        running = Running(attempt, nodes, work_s, key, self._clock.now_ns())
        if self._cluster and self._grows:
            self._waiting.append(running)
            self.running[attempt.id] = running
            self._serve()
            return
        if self._cluster:
            self._at_once(running)
            return
        units = self._containers(running)
        self.running[attempt.id] = running
        self._place(running, units)

    def _at_once(self, running: Running) -> None:
        units = self._nodes(running)
        if units is None:
            raise NoCapacity(f"{self.pool.name} has no room for {running.attempt.id} now")
        self.running[running.attempt.id] = running
        self._place(running, units)

    def scale(self, units: int) -> None:
        """Holds so many nodes from now on, or as few more as are busy."""
        self._least = min(units, self.pool.max_units)
        self._fill()
        for unit in sorted(self.up.values(), key=lambda unit: -unit.number):
            if len(self.up) > self._least and unit.idle:
                self._end(unit)

    def capacity(self) -> Capacity:
        """What the pool has now, and what is free of it."""
        most = self._most if self._grows else len(self.up)
        units = tuple(unit.state(takes_work=self._grows) for unit in self.up.values())
        return Capacity(as_of_ns=self._clock.now_ns(), units=units, max_units=most, replaces_idle=True)

    def usage(self) -> UsageReport:
        """What was used since it was last asked."""
        now_ns = self._clock.now_ns()
        held = [usage for running in self.running.values() for usage in _usage(running, None)]
        units = [unit.usage() for unit in (*self._ended, *self.up.values())]
        report = UsageReport(as_of_ns=now_ns, units=tuple(units), attempts=(*self._metered, *held))
        self._metered, self._ended = [], []
        return report

    def limit(self, units: int) -> None:
        """No more than so many nodes can be had from now on; those started last are taken away."""
        self._most = min(units, self.pool.max_units)
        for unit in sorted(self.up.values(), key=lambda unit: -unit.number)[: max(len(self.up) - self._most, 0)]:
            self._end(unit)
            for running in [running for running in self.running.values() if unit in running.units]:
                self._over(running, AttemptState.INTERRUPTED, "its node was taken away")
        self._fill()
        self._serve()
        coming = sum(unit.ready_ns is None for unit in self.up.values())
        for running in list(self._waiting):
            coming -= running.nodes
            if coming < 0:
                self._waiting.remove(running)
                self._over(running, AttemptState.REFUSED, "no node can be had for it any more")

    def interrupt(self, running: Running) -> None:
        """An attempt leaves its nodes; they stay."""
        self._over(running, AttemptState.INTERRUPTED, LEAVES)

    def _fill(self) -> None:
        while len(self.up) < min(self._least, self._most):
            self._new(self.pool.unit, "", None)

    def close(self) -> int:
        """Ends all nodes, and each container when its window is over; returns when the last has ended."""
        now_ns = ended_ns = self._clock.now_ns()
        for unit in list(self.up.values()):
            self._end(unit)
            if not self._cluster:
                unit.ended_ns = max(unit.idle_since_ns + round(self.pool.scaledown_window_s * 1e9), now_ns)
                ended_ns = max(ended_ns, unit.ended_ns)
        return ended_ns

    def _serve(self) -> None:
        """Places those that wait in the pool, in their order, and starts nodes for those that find none."""
        left = []
        for running in self._waiting:
            units = self._nodes(running)
            if units is None:
                left.append(running)
            else:
                self._place(running, units)
        self._waiting = left
        if left and self._grows:
            booting = sum(unit.ready_ns is None for unit in self.up.values())
            wanted = sum(running.nodes for running in left) - booting
            for _ in range(min(wanted, self._most - len(self.up))):
                self._new(self.pool.unit, "", left[0].attempt.id)

    def _nodes(self, running: Running) -> tuple[Unit, ...] | None:
        need = running.attempt.resources
        fitting = [unit for unit in self.up.values() if unit.ready_ns is not None and unit.free.fits(need)]
        if len(fitting) < running.nodes:
            return None
        fitting.sort(key=lambda unit: (unit.free.gpus, unit.free.cpus, unit.number))
        return tuple(fitting[: running.nodes])

    def _containers(self, running: Running) -> tuple[Unit, ...]:
        need, key = running.attempt.resources, running.key
        if running.nodes == 1:
            warm = [unit for unit in self.up.values() if unit.idle and unit.key == key and unit.total == need]
            if warm:
                by_age = min(warm, key=lambda unit: unit.number)
                return (by_age if self._timing.oldest_first else max(warm, key=lambda unit: unit.idle_since_ns),)
        while len(self.up) + running.nodes > self.pool.max_units:
            idle = [unit for unit in self.up.values() if unit.idle]
            if not idle:
                raise NoCapacity(f"all {self.pool.max_units} containers of {self.pool.name} are taken")
            self._end(min(idle, key=lambda unit: unit.idle_since_ns))
        return tuple(self._new(need, key, running.attempt.id) for _ in range(running.nodes))

    def _place(self, running: Running, units: tuple[Unit, ...]) -> None:
        running.units = units
        for unit in units:
            unit.take(running.attempt.id, running.attempt.resources)
        self._start_when_ready(running)

    def _start_when_ready(self, running: Running) -> None:
        if all(unit.ready_ns is not None for unit in running.units) and not running.ended:
            since_ns = self._clock.now_ns() - JUST_NS
            gathers = running.nodes > 1 and any(unit.left_ns > since_ns for unit in running.units)
            launch_s = self._timing.launch_s + (self._timing.gather_s if gathers else 0.0)
            self._clock.after(launch_s, lambda: self._start(running))

    def _start(self, running: Running) -> None:
        if not running.ended:
            running.started_ns = self._clock.now_ns()
            self._say(running, AttemptState.RUNNING, "")
            seconds = running.work_s + self._timing.finish_s
            self._clock.after(seconds, lambda: self._over(running, AttemptState.SUCCEEDED, ""))

    def _over(self, running: Running, state: AttemptState, reason: str) -> None:
        if running.ended:
            return
        now_ns, running.ended = self._clock.now_ns(), True
        del self.running[running.attempt.id]
        self._metered += _usage(running, now_ns)
        for unit in running.units:
            unit.release(running.attempt.id, now_ns)
            if not unit.held and unit.ended_ns is None:
                self._idle(unit)
        self._say(running, state, reason)
        if self._waiting:
            self._serve()

    def _say(self, running: Running, state: AttemptState, reason: str) -> None:
        now_ns = self._clock.now_ns()
        ended_ns = now_ns - (round(self._timing.finish_s * 1e9) if state is AttemptState.SUCCEEDED else 0)
        self._tell(
            AttemptReport(
                attempt_id=running.attempt.id,
                state=state,
                at_ns=now_ns,
                started_ns=running.started_ns,
                ended_ns=ended_ns if state.ended else None,
                reason=reason,
                unit_ids=tuple(unit.id for unit in running.units),
            )
        )

    def _new(self, total: Resources, key: str, caused_by: str | None) -> Unit:
        self.started += 1
        number = self.started
        caused = None if self._cluster else caused_by
        unit = Unit(f"{self.pool.name}-{number}", number, total, self._clock.now_ns(), key, caused)
        self.up[unit.id] = unit
        self._clock.after(self.pool.cold_start_s, lambda: self._ready(unit))
        return unit

    def _ready(self, unit: Unit) -> None:
        if unit.ready_ns is not None or unit.ended_ns is not None:
            return
        unit.ready_ns = unit.idle_since_ns = self._clock.now_ns()
        if self._cluster:
            self._serve()
            self._there()
        if unit.held:
            for attempt_id in list(unit.held):
                self._start_when_ready(self.running[attempt_id])
        else:
            self._idle(unit)

    def _idle(self, unit: Unit) -> None:
        if self._cluster and not self._grows:
            return
        kept_s = self._timing.node_idle_s if self._cluster else self.pool.scaledown_window_s
        since_ns = unit.idle_since_ns
        self._clock.after(kept_s, lambda: self._end_idle(unit, since_ns))

    def _end_idle(self, unit: Unit, since_ns: int) -> None:
        still = unit.ended_ns is None and unit.idle and unit.idle_since_ns == since_ns
        if still and len(self.up) > self._least:
            self._end(unit)

    def _end(self, unit: Unit) -> None:
        unit.ended_ns = self._clock.now_ns()
        del self.up[unit.id]
        self._ended.append(unit)


def _usage(running: Running, ended_ns: int | None) -> list[AttemptUsage]:
    return [
        AttemptUsage(
            attempt_id=running.attempt.id,
            unit_id=unit.id,
            resources=running.attempt.resources,
            started_ns=max(running.launched_ns, unit.started_ns),
            ended_ns=ended_ns,
        )
        for unit in running.units
    ]
