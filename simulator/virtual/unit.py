"""A node or container in virtual time: what it has, who holds it, and since when it is idle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from broker.model.pools import UnitState
from broker.model.resources import Resources
from broker.model.usage import UnitUsage


@dataclass(eq=False, slots=True)
class Unit:
    """A node or a container: what is paid for."""

    id: str
    number: int  # of all units of its pool, which
    total: Resources
    started_ns: int
    key: str  # environment that it is warm for
    caused_by: str | None
    ready_ns: int | None = None
    ended_ns: int | None = None
    idle_since_ns: int = 0
    left_ns: int = 0  # when an attempt last left it
    held: dict[str, Resources] = field(default_factory=dict)  # by attempt
    free: Resources = field(init=False)

    def __post_init__(self) -> None:
        self.free = self.total

    @property
    def idle(self) -> bool:
        """Whether it could end, or take a job, at once."""
        return self.ready_ns is not None and not self.held

    def take(self, attempt_id: str, resources: Resources) -> None:
        """An attempt holds a part of it."""
        self.held[attempt_id] = resources
        self.free = self.free.minus(resources)

    def release(self, attempt_id: str, now_ns: int) -> None:
        """An attempt has left the unit."""
        del self.held[attempt_id]
        self.left_ns = now_ns
        self.free = self.total
        for resources in self.held.values():
            self.free = self.free.minus(resources)
        if not self.held:
            self.idle_since_ns = now_ns

    def state(self, *, takes_work: bool) -> UnitState:
        """As a pool reports it, whose units take work while they boot, or only when they are up."""
        ready = self.ready_ns is not None
        return UnitState(
            unit_id=self.id,
            total=self.total,
            free=self.free if ready or takes_work else Resources(gpu_model=self.total.gpu_model),
            ready=ready,
            asked_ns=None if ready else self.started_ns,
            warm_key=self.key,
        )

    def usage(self) -> UnitUsage:
        """The usage of the unit, as a pool meters it."""
        return UnitUsage(
            unit_id=self.id,
            resources=self.total,
            started_ns=self.started_ns,
            ready_ns=self.ready_ns,
            ended_ns=self.ended_ns,
            caused_by=self.caused_by,
        )

    def settled(self, last_attempt: str | None) -> UnitUsage:
        """As the store keeps it between settlements."""
        return replace(self.usage(), last_attempt=last_attempt)
