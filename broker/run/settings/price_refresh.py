"""Which providers are asked for their prices, and how often, as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRefreshSettings:
    """How the broker keeps prices up to date."""

    providers: tuple[str, ...] = ()  # empty: no provider is asked
    every_s: float = 21_600.0
    jitter: float = 0.1  # share of `every_s` by which a refresh is earlier or later, at random
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by provider; else those with known prices
    project: str = ""  # Google Cloud: whose machine types are listed
