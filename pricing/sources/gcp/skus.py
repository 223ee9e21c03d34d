"""What the catalogue of Compute Engine lists → prices of parts, by series or model, tier and region. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from broker.model.offers import Tier
from pricing.live.amounts import Unusable, amount, exact, in_usd
from pricing.live.answer import Refused

HOURS_PER_MONTH: Final = 730
CORE, RAM, GPU, SSD, SLICE = "core", "GiB of memory", "GPU", "GiB of local disk", "GPU with all that belongs to it"
UNITS: Final = {CORE: ("h",), RAM: ("GiBy.h",), GPU: ("h",), SSD: ("GiBy.mo", "GiBy.h"), SLICE: ("h",)}
GPUS: Final = {  # as descriptions call them
    "A100": "A100-40GB",
    "A100 80GB": "A100-80GB",
    "H100 80GB": "H100",
    "H100 80GB Mega": "H100-MEGA",
    "H100 80GB Plus": "H100-MEGA",
    "H100 Mega 80GB": "H100-MEGA",
    "H200 141GB": "H200",
    "L4": "L4",
    "RTX 6000 96GB": "RTX-PRO-6000",
    "T4": "T4",
    "V100": "V100",
}
_COMMITMENT: Final = re.compile(r"Commitment v1: (?P<thing>.+?) (?:running )?in .+ for (?P<years>[13]) Years?")
_LISTED: Final = re.compile(
    r"(?P<spot>Spot Preemptible )?(?P<thing>.+?)"
    r"(?: (?P<attached>attached to Spot Preemptible VMs))?(?:(?: running)? in .+)?"
)
_SERIES: Final = re.compile(
    r"(?P<series>[A-Z][A-Za-z0-9]*)(?: AMD| Arm)?(?: Predefined)?(?: Instance)? (?P<part>Core|Cpu|Ram)"
)
_SLICE: Final = re.compile(r"A4 Nvidia (?P<gpu>B200) \(1 gpu slice\)")
_GPU: Final = re.compile(r"(?:Nvidia )?(?:Tesla )?(?P<gpu>.+?)(?: GPU)?")
_DISKS: Final = ("SSD backed Local Storage", "Local SSD")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """What has a price of its own: cores, memory, GPUs or disks of machines."""

    kind: str
    of: str = ""  # the series of a core or GiB of memory, the model of a GPU

    def __str__(self) -> str:
        return f"{self.kind} ({self.of})" if self.of else self.kind


@dataclass(frozen=True, slots=True)
class Listed:
    """The price of one unit and hour, and which SKU says so."""

    usd: Decimal
    sku: str


Prices = dict[tuple[str, Tier, Part], list[Listed]]  # by region


def part_prices(skus: Iterable[Any], regions: Iterable[str]) -> tuple[Prices, list[Refused]]:
    """The prices of parts in these regions, and SKUs that would be one and can't be used."""
    wanted, found = frozenset(regions), Prices()
    refused: list[Refused] = []
    for sku in skus:
        here = wanted.intersection(sku.service_regions)
        if not here or (read := what(sku.description, sku.category.usage_type)) is None:
            continue
        part, tier = read
        try:
            listed = Listed(usd=_hourly(sku, part.kind), sku=sku.sku_id)
        except Unusable as error:
            refused.append(Refused(thing=f"gcp sku {sku.sku_id} ({sku.description})", reason=str(error)))
            continue
        for region in here:
            found.setdefault((region, tier, part), []).append(listed)
    return found, refused


def what(description: str, usage_type: str) -> tuple[Part, Tier] | None:
    """Which part a SKU prices, on which terms; None for all else: licences, custom machines, reservations, disks …"""
    if commitment := _COMMITMENT.fullmatch(description):
        tier = Tier.COMMIT_1Y if commitment["years"] == "1" else Tier.COMMIT_3Y
        part = _part(commitment["thing"])
        return (part, tier) if part else None
    listed = _LISTED.fullmatch(description)
    if listed is None or description.startswith("Commitment") or (part := _part(listed["thing"])) is None:
        return None
    spot = listed["spot"] or listed["attached"] or usage_type == "Preemptible"
    if not spot and usage_type != "OnDemand":
        return None
    return part, Tier.SPOT if spot else Tier.ON_DEMAND


def _part(thing: str) -> Part | None:
    if found := _SERIES.fullmatch(thing):
        return Part(RAM if found["part"] == "Ram" else CORE, found["series"].upper())
    if found := _SLICE.fullmatch(thing):
        return Part(SLICE, found["gpu"])
    if thing in _DISKS:
        return Part(SSD)
    found = _GPU.fullmatch(thing)
    return Part(GPU, GPUS[found["gpu"]]) if found and found["gpu"] in GPUS else None


def _hourly(sku: Any, kind: str) -> Decimal:
    """The price of a unit and hour. Raises `Unusable`."""
    if not sku.pricing_info:
        raise Unusable("has no price")
    info = sku.pricing_info[-1]
    expression = info.pricing_expression
    if expression.usage_unit not in UNITS[kind]:
        raise Unusable(f"is priced by {expression.usage_unit!r}, where {' or '.join(UNITS[kind])} is expected")
    rates = list(_rates(expression))
    if len(rates) != 1:
        raise Unusable(f"has {len(rates)} prices, where one is expected")
    in_usd(rates[0].currency_code)
    usd = amount(Decimal(rates[0].units) + Decimal(rates[0].nanos).scaleb(-9))
    return exact(usd / HOURS_PER_MONTH) if expression.usage_unit.endswith(".mo") else usd


def _rates(expression: Any) -> Iterator[Any]:
    yield from (tier.unit_price for tier in expression.tiered_rates)
