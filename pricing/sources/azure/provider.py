"""Azure asked region by region for the sizes that are known to have GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from broker.model.offers import Tier
from pricing.live.answer import Answer, Asked, Failure, Part, Refused
from pricing.live.attempts import attempt
from pricing.sources.azure.offers import offers
from pricing.sources.azure.pages import items
from pricing.sources.azure.sizes import SIZES

URL: Final = "https://prices.azure.com/api/retail/prices"
VERSION: Final = "2023-01-01-preview"  # the one that states savings plans
TIERS: Final = frozenset({Tier.ON_DEMAND, Tier.SPOT, Tier.COMMIT_1Y, Tier.COMMIT_3Y})
ACCELERATED: Final = "contains(armSkuName, 'Standard_N')"  # every size with a GPU; filters know no `or` for certain
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
            yield attempt(part, partial(self._answer, part, asked))

    def _answer(self, part: Part, asked: Asked) -> Answer:
        skus = (*SIZES, *asked.skus)
        filters = (ACCELERATED, *(f"armSkuName eq {_quoted(sku)}" for sku in asked.skus))
        listed = [item for which in filters for item in items(self._url, _question(part.region, which))]
        found, refused = offers(listed, skus, part.region, asked.day)
        others = sorted({str(item["armSkuName"]) for item in listed} - set(skus))
        left_out = [Refused(thing=sku, reason="what is in it is not known here, or no whole GPU") for sku in others]
        return Answer(part=part, offers=tuple(found), refused=tuple(refused), left_out=tuple(left_out))


def _question(region: str, which: str) -> dict[str, str]:
    return {
        "api-version": VERSION,
        "currencyCode": _quoted("USD"),
        "meterRegion": _quoted("primary"),
        "$filter": f"serviceName eq 'Virtual Machines' and armRegionName eq {_quoted(region)} and {which}",
    }


def _quoted(text: str) -> str:
    """A string of OData."""
    return "'" + text.replace("'", "''") + "'"
