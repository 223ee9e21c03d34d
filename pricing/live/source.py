"""The price history of the state folder → offers, as a price source beside the bundled catalogue."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from broker.model.errors import PriceMissing
from broker.model.offers import Offer
from broker.model.price_news import PriceNews
from pricing.live.history import PriceHistory
from pricing.live.location import prices_file
from pricing.live.rows import dated


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

    @property
    def providers(self) -> Collection[str]:
        """Names of the providers that can be asked."""
        from pricing.sources import PROVIDERS

        return PROVIDERS.keys()

    def last_asked_s(self, provider: str) -> int | None:
        """When one last answered. Raises `PriceMissing`."""
        found = [each.at_s for each in PriceHistory(self._path).last_refreshes() if each.provider == provider]
        return max(found, default=None)

    def ask(self, provider: str, regions: Sequence[str] = (), project: str = "") -> Iterator[PriceNews]:
        """Asks a provider and keeps what is believed, as `broker prices refresh` does."""
        from pricing.installed_offers import known_offers
        from pricing.live.refresh import refresh
        from pricing.sources import provider as of_name

        history = PriceHistory(self._path)
        asked = of_name(provider)
        for outcome in refresh(asked, known_offers(), history, _now_s, regions=regions, project=project):
            yield PriceNews(
                part=str(outcome.part),
                offers=outcome.offers,
                changed=outcome.changed,
                refused=tuple(f"{each.thing}: {each.reason}" for each in outcome.refused),
                error=outcome.error,
            )


def _now_s() -> int:
    return int(time.time())


@lru_cache(maxsize=1)
def _read(path: Path, changed_ns: int, size: int) -> tuple[Offer, ...]:
    """The offers of a file as it was at its last change: a broker that looks again and again reads it once."""
    return tuple(dated(PriceHistory(path).prices()))
