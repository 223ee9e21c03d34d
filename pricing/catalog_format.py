"""Catalogue files ↔ offers: CSV, one row per offer and date, written out here column by column.

The format is not derived from `Offer`, so that a new field there can't change files that people have reviewed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from broker.model.errors import InvalidInput, Problem
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.resources import canonical_gpu

COLUMNS: Mapping[str, str] = {
    "provider": "who sells it",
    "product": "which of the provider's services",
    "sku": "the provider's name for it",
    "region": "the provider's name for the region; empty where the price holds everywhere",
    "tier": "on_demand, spot, commit_1y, commit_3y or serverless",
    "gpu_model": "canonical name; empty for none",
    "gpu_count": "GPUs of a node; 1 for a serverless GPU; 0 for none",
    "cpus": "virtual CPUs of a node; empty where not stated",
    "memory_gib": "GiB of memory of a node; empty where not stated",
    "usd_per_hour": "a whole node, or one serverless GPU",
    "usd_per_cpu_hour": "serverless: one virtual CPU, on top; empty where CPUs are in the price",
    "usd_per_gib_hour": "serverless: one GiB of memory, on top; empty where memory is in the price",
    "granularity_s": "billed time is a multiple of these seconds",
    "minimum_s": "a node or container is billed at least these seconds",
    "valid_from": "the day on which the source saw the price",
    "source": "where it was read",
    "note": "what a person should know; commas and quotes are fine",
}


def offer_id(provider: str, product: str, sku: str, region: str, tier: Tier) -> str:
    """The id of an offer: `provider/product/sku/region/tier` in lower case, `any` where the region is empty."""
    parts = (provider, product, sku, region or "any", tier.value)
    return "/".join(re.sub(r"[^a-z0-9._-]+", "-", part.lower()).strip("-") for part in parts)


def read(text: str, file: str) -> tuple[Offer, ...]:
    """The offers of a file. Raises `InvalidInput` with every cell that is wrong, by file, line and column."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if reader.fieldnames is None or list(reader.fieldnames) != list(COLUMNS):
        expected = ",".join(COLUMNS)
        raise InvalidInput(Problem(message=f"the first line must be: {expected}", file=file, line=1))
    offers: list[Offer] = []
    problems: list[Problem] = []
    for cells in _rows(reader, file, problems):
        row = _Row(cells, file, reader.line_num)
        offer = row.offer()
        problems += row.problems
        if offer is not None:
            offers.append(offer)
    if problems:
        raise InvalidInput(*problems)
    return tuple(offers)


def write(offers: Iterable[Offer]) -> str:
    """The text of a file that holds these offers, ordered so that a changed price is a changed line."""
    rows = [tuple(COLUMNS), *(_cells(offer) for offer in sorted(offers, key=_order))]
    return "".join(_line(row) for row in rows)


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    # The writer quotes a carriage return inside a cell only where it is part of the end of a line.
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _order(offer: Offer) -> tuple[object, ...]:
    return offer.product, offer.gpu_model, offer.gpu_count, offer.id, offer.valid_from


def _cells(offer: Offer) -> tuple[str, ...]:
    return (
        offer.provider,
        offer.product,
        offer.sku,
        offer.region,
        offer.tier.value,
        offer.gpu_model,
        f"{offer.gpu_count:g}",
        "" if offer.cpus is None else f"{offer.cpus:g}",
        "" if offer.memory_gib is None else f"{offer.memory_gib:g}",
        f"{offer.usd_per_hour:f}",
        "" if offer.usd_per_cpu_hour is None else f"{offer.usd_per_cpu_hour:f}",
        "" if offer.usd_per_gib_hour is None else f"{offer.usd_per_gib_hour:f}",
        str(offer.billing.granularity_s),
        str(offer.billing.minimum_s),
        offer.valid_from.isoformat(),
        offer.source,
        offer.note,
    )


def _rows(reader: csv.DictReader[str], file: str, problems: list[Problem]) -> Iterator[dict[str, str]]:
    """The rows that are whole; what is not even CSV ends the file."""
    try:
        for cells in reader:
            if None in cells or None in cells.values():
                problems.append(Problem(message=f"must have {len(COLUMNS)} columns", file=file, line=reader.line_num))
            else:
                yield cells
    except csv.Error as error:
        problems.append(Problem(message=f"is no CSV: {error}", file=file, line=reader.line_num + 1))


class _Row:
    """One row being read: cells in, values out, and the problems met on the way."""

    def __init__(self, cells: Mapping[str, str], file: str, line: int) -> None:
        self._cells = cells
        self._place = (file, line)
        self.problems: list[Problem] = []

    def offer(self) -> Offer | None:
        """The offer; None when anything is wrong."""
        provider, product, sku, source = (self._text(name) for name in ("provider", "product", "sku", "source"))
        region, gpu_model = self._cells["region"], self._gpu()
        tier, since = self._tier(), self._date("valid_from")
        offer = Offer(
            id=offer_id(provider, product, sku, region, tier),
            provider=provider,
            product=product,
            sku=sku,
            region=region,
            tier=tier,
            gpu_model=gpu_model,
            gpu_count=float(self._number("gpu_count")),
            cpus=self._amount("cpus"),
            memory_gib=self._amount("memory_gib"),
            usd_per_hour=self._number("usd_per_hour"),
            usd_per_cpu_hour=self._rate("usd_per_cpu_hour"),
            usd_per_gib_hour=self._rate("usd_per_gib_hour"),
            billing=BillingRule(granularity_s=self._whole("granularity_s", 1), minimum_s=self._whole("minimum_s", 0)),
            valid_from=since,
            source=source,
            note=self._cells["note"],
        )
        return None if self.problems else offer

    def _wrong(self, column: str, message: str) -> None:
        file, line = self._place
        self.problems.append(Problem(message=message, field=column, file=file, line=line))

    def _text(self, column: str) -> str:
        if not self._cells[column].strip():
            self._wrong(column, "must not be empty")
        return self._cells[column]

    def _gpu(self) -> str:
        name = self._cells["gpu_model"]
        if name != canonical_gpu(name):
            self._wrong("gpu_model", f"must be the canonical name {canonical_gpu(name)!r}, not {name!r}")
        return name

    def _tier(self) -> Tier:
        name = self._cells["tier"]
        known = [tier.value for tier in Tier if tier is not Tier.OWNED]
        if name in known:
            return Tier(name)
        self._wrong("tier", f"must be one of {', '.join(known)}, not {name!r}")
        return Tier.ON_DEMAND

    def _date(self, column: str) -> date:
        try:
            return date.fromisoformat(self._cells[column])
        except ValueError:
            self._wrong(column, f"must be a date like 2026-01-31, not {self._cells[column]!r}")
            return date.min

    def _number(self, column: str) -> Decimal:
        try:
            value = Decimal(self._cells[column])
        except InvalidOperation:
            value = Decimal(-1)
        if not value.is_finite() or value < 0:
            self._wrong(column, f"must be a number, zero or more, not {self._cells[column]!r}")
            return Decimal(0)
        return value

    def _rate(self, column: str) -> Decimal | None:
        return self._number(column) if self._cells[column] else None

    def _amount(self, column: str) -> float | None:
        return float(self._number(column)) if self._cells[column] else None

    def _whole(self, column: str, least: int) -> int:
        value = self._number(column)
        if value != int(value) or value < least:
            self._wrong(column, f"must be whole seconds, at least {least}, not {self._cells[column]!r}")
        return int(value)
