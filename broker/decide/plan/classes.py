"""Classes of work: what each may use, how fast it is there, and how long it may wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.decide.plan.offers import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """Work that is bound by the same rules. Its demand counts GPUs of the model on which its speed is 1."""

    name: str
    regions: frozenset[str] = frozenset()  # residency: only there; empty: anywhere
    dedicated: bool = False  # isolation: only on hardware that nobody else uses
    runtime: str = ""  # only where this runs: "ray"
    interruptible: bool = True  # may be interrupted by the provider
    speeds: Mapping[str, float] = field(default_factory=dict)  # by GPU model; empty: any model, at speed 1
    offers: frozenset[str] = frozenset()  # only these, by name; empty: any
    wait_hours: float = 0.0  # work may be done so much later than it comes

    def __post_init__(self) -> None:
        if self.wait_hours < 0 or any(speed <= 0 for speed in self.speeds.values()):
            raise ValueError(f"class {self.name}: speeds must be above 0, wait_hours not below")

    @property
    def rules(self) -> tuple[object, ...]:
        """Classes with equal rules are one to the programme."""
        speeds = tuple(sorted(self.speeds.items()))
        places = (self.regions, self.dedicated, self.runtime, self.interruptible, self.offers)
        return (*places, speeds, self.wait_hours)


def why_not(offer: Offer, work: Class) -> str:
    """Why work of a class may not use an offer; "" where it may."""
    if work.offers and offer.name not in work.offers:
        return "it is not among its offers"
    if work.speeds and offer.gpu not in work.speeds:
        return f"it does not run on {offer.gpu or 'an unnamed GPU'}, only on {', '.join(sorted(work.speeds))}"
    if work.regions and offer.region not in work.regions:
        return f"it must stay in {', '.join(sorted(work.regions))}, not {offer.region or 'in a region not promised'}"
    if work.dedicated and not offer.dedicated:
        return "it needs hardware of its own"
    if work.runtime and work.runtime not in offer.runtimes:
        return f"it needs {work.runtime}"
    if not work.interruptible and offer.interruptions_per_hour:
        return "it must not be interrupted"
    return ""


def speed(offer: Offer, work: Class) -> float:
    """GPUs of the class's own measure that one GPU of the offer is worth to it; 0 where it may not be used."""
    if why_not(offer, work):
        return 0.0
    return work.speeds.get(offer.gpu, 1.0) if work.speeds else 1.0
