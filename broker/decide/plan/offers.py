"""What can be bought: offers, with how their size is chosen, how they start, and who may use them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """When an offer's size is chosen, and what it is paid for."""

    COMMITTED = "committed"  # for a term at a time, paid throughout it; the first term is chosen now
    HELD = "held"  # for `resize_hours` at a time in each scenario, paid throughout them
    SERVERLESS = "serverless"  # in each step, paid for while used


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to buy a GPU-hour.

    Raises ValueError for what can't be: a negative price or time, a node of no GPUs, a node that never works.
    """

    name: str
    kind: Kind
    usd_per_gpu_hour: float
    node: int = 1  # GPUs come in nodes of this many
    max_gpus: float | None = None  # at most so many at a time
    max_gpu_hours: float | None = None  # bought over the horizon, at most so many in each scenario
    gpu: str = ""  # model; "" where none is named
    region: str = ""  # "" where none is promised
    dedicated: bool = False  # nobody else's work runs on the same hardware
    runtimes: frozenset[str] = frozenset()  # what it can run beyond a command: "ray"
    term_hours: float | None = None  # committed: how long a commitment lasts; None: at least the horizon
    resize_hours: float = 24.0  # held: how long a size stays
    boot_hours: float = 0.0  # paid from a start until a node works; serverless: a container's cold start
    minimum_hours: float = 0.0  # a node that starts is paid at least so long
    start_usd: float = 0.0  # a start of a node, or of one GPU's container, costs this much beside its hours
    running_gpus: float | None = None  # up as the plan begins; None: as many as wished, without a start
    interruptions_per_hour: float = 0.0  # of a node by the provider (spot)
    redo_hours: float = 0.0  # of work lost in an interruption
    overhead: float = 0.0  # serverless: hours billed without work (cold starts, idle tails), as a share of the work

    def __post_init__(self) -> None:
        times = (self.boot_hours, self.minimum_hours, self.redo_hours, self.interruptions_per_hour, self.overhead)
        amounts = (self.max_gpus, self.max_gpu_hours, self.running_gpus)
        if self.usd_per_gpu_hour < 0 or self.start_usd < 0 or min(times) < 0:
            raise ValueError(f"offer {self.name}: prices and times must not be below 0")
        if any(amount is not None and amount < 0 for amount in amounts):
            raise ValueError(f"offer {self.name}: numbers of GPUs must not be below 0")
        if self.node < 1 or self.resize_hours <= 0 or (self.term_hours is not None and self.term_hours <= 0):
            raise ValueError(f"offer {self.name}: node, resize_hours and term_hours must be above 0")
        if self.working <= 0:
            raise ValueError(f"offer {self.name}: by its interruptions it would never work")

    @property
    def working(self) -> float:
        """The share of a GPU's paid hours in which it does work that counts: interruptions take boots and redone work.

        To first order, for interruptions that are few in the time that a boot and the redone work take.
        """
        return 1.0 - self.interruptions_per_hour * (self.boot_hours + self.redo_hours)

    @property
    def usd_per_hour_up(self) -> float:
        """The price of a GPU-hour with the starts that interruptions make."""
        return self.usd_per_gpu_hour * (1.0 + self.overhead) + self.interruptions_per_hour * self.start_usd / self.node

    @property
    def ramps(self) -> bool:
        """Whether starts matter: growing differs from being large."""
        return bool(self.boot_hours or self.start_usd or self.minimum_hours)
