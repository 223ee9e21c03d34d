"""The port to prices of now: a price source that can ask providers for them (in the group `broker.price_sources`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

from broker.model.price_news import PriceNews


@runtime_checkable
class LivePrices(Protocol):
    """A price source that asks providers and keeps what they answer, so that its offers are newer from then on."""

    @property
    def providers(self) -> Collection[str]:
        """The names of those that can be asked."""
        ...

    def last_asked_s(self, provider: str) -> int | None:
        """When one last answered, in seconds since the epoch; None: never. Raises `PriceMissing`."""
        ...

    def ask(self, provider: str, regions: Sequence[str] = (), project: str = "") -> Iterator[PriceNews]:
        """Asks a provider, part after part; what is believed is kept by the time that it is told.

        Without `regions`, in those where its prices are known. Blocks. Raises `PriceMissing` and `StoreError`.
        """
        ...
