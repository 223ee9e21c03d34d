"""Which providers are asked for their prices, and how often, as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingSettings:
    """How prices are kept new."""

    providers: tuple[str, ...] = ()  # none: nobody is asked
    every_s: float = 21_600.0
    jitter: float = 0.1  # share of `every_s` by which it is earlier or later, by chance
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by provider; others: those that are known
    project: str = ""  # Google Cloud
