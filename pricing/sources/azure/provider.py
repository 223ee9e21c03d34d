"""Azure asked region by region for the sizes that are known to have GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from broker.model.offers import Tier
from pricing.live.answer import Answer, Asked, Failure, Part
from pricing.live.asking import Found, ask
from pricing.sources.azure.offers import offers
from pricing.sources.azure.pages import items
from pricing.sources.azure.sizes import SIZES

URL: Final = "https://prices.azure.com/api/retail/prices"
VERSION: Final = "2023-01-01-preview"  # the one that states savings plans
TIERS: Final = frozenset({Tier.ON_DEMAND, Tier.SPOT, Tier.COMMIT_1Y, Tier.COMMIT_3Y})
USUAL_REGION: Final = "eastus"


class Azure:
    """The provider `azure`."""

    name = "azure"

    def __init__(self, url: str = URL) -> None:
        self._url = url

    def answers(self, asked: Asked) -> Iterator[Answer | Failure]:
        """Needs no account."""
        for region in asked.regions or (USUAL_REGION,):
            part = Part(provider="azure", region=region, tiers=TIERS)
            yield ask(part, partial(self._found, asked, region))

    def _found(self, asked: Asked, region: str) -> Found:
        skus = (*SIZES, *asked.skus)
        return offers(items(self._url, _question(region, skus)), skus, region, asked.day)


def _question(region: str, skus: tuple[str, ...]) -> dict[str, str]:
    names = " or ".join(f"armSkuName eq {_quoted(sku)}" for sku in skus)
    return {
        "api-version": VERSION,
        "currencyCode": "USD",
        "meterRegion": "primary",
        "$filter": f"serviceName eq 'Virtual Machines' and armRegionName eq {_quoted(region)} and ({names})",
    }


def _quoted(text: str) -> str:
    """A string of OData."""
    return "'" + text.replace("'", "''") + "'"
