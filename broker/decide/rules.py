"""What the owner of a broker has settled about placement."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from broker.decide.price_book import STALE_AFTER_DAYS
from broker.decide.spot import SpotRule


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRules:
    """The owner's part in placing jobs."""

    # How long a job may wait for cheaper capacity when it does not say; None: as long as what it saves is worth.
    default_max_wait_s: float | None = None
    stale_price_days: int = STALE_AFTER_DAYS  # prices older than this are flagged
    spot_rule: SpotRule = SpotRule.CHEAPEST  # how jobs with a deadline use spot
    value_per_gpu_hour: Decimal | None = None  # US dollars: price of the work that a GPU of a cluster is kept from
