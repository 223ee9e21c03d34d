"""The price history of the state folder → offers, as a price source beside the bundled catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from broker.model.offers import Offer
from pricing.live.history import PriceHistory
from pricing.live.rows import dated
from pricing.live.where import prices_file


class LiveSource:
    """The price source `live`: what `broker prices refresh` has kept. Its prices are newer than the bundled ones."""

    name = "live"

    def __init__(self, path: Path | None = None) -> None:
        self._history = PriceHistory(path or prices_file())

    def offers(self) -> Iterator[Offer]:
        """Every dated price; none where nothing was ever asked. Raises `PriceMissing` when the file is damaged."""
        yield from dated(self._history.prices())
