"""The bundled catalogue files → offers, as a price source."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from broker.model.errors import InvalidInput, PriceMissing
from broker.model.offers import Offer
from pricing.catalog_format import read


class CatalogSource:
    """The price source `catalog`: every CSV file of a folder, by default of the one that comes with the package."""

    name = "catalog"

    def __init__(self, folder: Traversable | None = None) -> None:
        self._folder = folder or files("pricing") / "catalog"

    def offers(self) -> Iterator[Offer]:
        """All offers, file by file. Raises `PriceMissing` with file, line and column of what can't be read."""
        try:
            found = sorted((file for file in self._folder.iterdir() if file.name.endswith(".csv")), key=str)
            texts = [(file.name, file.read_text(encoding="utf-8")) for file in found]
        except (OSError, UnicodeDecodeError) as error:
            raise PriceMissing(f"the price catalogue {self._folder} can't be read: {error}") from error
        if not texts:
            raise PriceMissing(f"the price catalogue {self._folder} has no CSV file")
        for name, text in texts:
            try:
                yield from read(text, name)
            except InvalidInput as error:
                raise PriceMissing(f"the price catalogue {self._folder} is damaged:\n{error}") from error
