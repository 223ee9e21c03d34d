"""What the owner of a broker has settled about placement."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRules:
    """The owner's part in placing jobs."""

    default_max_wait_s: float = 0.0  # how long a job may wait for cheaper capacity when it does not say
    stale_price_days: int = 90  # prices older than this are flagged
    value_per_gpu_hour: Decimal | None = None  # US dollars: price of the work that a GPU of a cluster is kept from
