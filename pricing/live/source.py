"""The price history of the state folder → offers, as a price source beside the bundled catalogue."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from broker.model.errors import PriceMissing
from broker.model.offers import Offer
from pricing.live.history import PriceHistory
from pricing.live.rows import dated
from pricing.live.where import prices_file


class LiveSource:
    """The price source `live`: what `broker prices refresh` has kept. Its prices are newer than the bundled ones."""

    name = "live"

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or prices_file()

    def offers(self) -> tuple[Offer, ...]:
        """Every dated price; none where nothing was ever asked. Raises `PriceMissing` when the file is damaged."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise PriceMissing(f"the price history {self._path} can't be read: {error}") from error
        return _read(self._path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _read(path: Path, changed_ns: int, size: int) -> tuple[Offer, ...]:
    """The offers of a file as it was at its last change: a broker that looks again and again reads it once."""
    return tuple(dated(PriceHistory(path).prices()))
