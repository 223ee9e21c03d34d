"""What comes of asking a provider for its prices."""

from __future__ import annotations

from dataclasses import dataclass

from broker.model.errors import BrokerError


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceNews:
    """What came of one question to a provider."""

    part: str  # in words: provider, region, kinds of price
    offers: int = 0  # believed
    changed: int = 0  # of these, new or at another price than before
    refused: tuple[str, ...] = ()  # what was not believed, each with its reason; the old prices stay
    error: BrokerError | None = None  # why there was no answer
