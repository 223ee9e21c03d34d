"""Google Cloud asked once for all that it sells and for its machine types, then put together region by region."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any, Final

from broker.model.errors import BrokerError, Misconfigured
from pricing.live.answer import Answer, Asked, Failure, Part, Refused
from pricing.live.attempts import attempt, parsing
from pricing.sources.gcp.calls import Clients, credentials, machine_types, skus, usual_clients
from pricing.sources.gcp.machines import machines
from pricing.sources.gcp.offers import TIERS, offers
from pricing.sources.gcp.skus import Prices, part_prices

ACCELERATED: Final = r"a[234]-.*|g[24]-.*"  # machine types that have GPUs
USUAL_REGION: Final = "us-central1"


class Gcp:
    """The provider `gcp`."""

    name = "gcp"

    def __init__(self, clients: Clients | None = None) -> None:
        self._clients = clients

    def answers(self, asked: Asked) -> Iterator[Answer | Failure]:
        """Needs the Cloud Billing API enabled, and the permission compute.machineTypes.list in a project."""
        regions = asked.regions or (USUAL_REGION,)
        parts = [Part(provider="gcp", region=region, tiers=frozenset(TIERS)) for region in regions]
        try:
            with parsing("gcp"):
                described, prices, odd = self._fetched(asked, regions)
        except BrokerError as error:
            yield from (Failure(part=part, error=error) for part in parts)
            return
        for part in parts:
            yield attempt(part, partial(_of_region, part, described, prices, odd, asked.day))
            odd = []

    def _fetched(self, asked: Asked, regions: tuple[str, ...]) -> tuple[list[tuple[str, Any]], Prices, list[Refused]]:
        clients = self._clients or usual_clients()
        who, usual_project = credentials()
        if not (project := asked.project or usual_project):
            raise Misconfigured("Google Cloud: the credentials name no project; say one with --project")
        described = list(machine_types(clients.machine_types(who), project, _names(asked)))
        prices, odd = part_prices(skus(clients.catalogue(who)), regions)
        return described, prices, odd


def _of_region(part: Part, described: list[tuple[str, Any]], prices: Prices, odd: list[Refused], day: date) -> Answer:
    there, unknown = machines(described, part.region)
    found, refused, unpriced = offers(there, prices, day)
    return Answer(part=part, offers=tuple(found), refused=(*odd, *refused), left_out=(*unknown, *unpriced))


def _names(asked: Asked) -> str:
    """The pattern of the machine types to ask for. Raises `Misconfigured` for what is no name."""
    for sku in asked.skus:
        if not re.fullmatch(r"[a-z0-9-]+", sku):
            raise Misconfigured(f"{sku!r} is no name of a machine type: n2-standard-8, c4-standard-96 …")
    return "|".join((ACCELERATED, *asked.skus))
