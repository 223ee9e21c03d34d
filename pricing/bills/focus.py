"""FOCUS, the FinOps Open Cost and Usage Specification, from anyone, as CSV or Parquet → lines of a bill.

Read are the columns that its versions 1.0 to 1.4 share; our own export is one of these files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from broker.model.bills import BillLine, LineClass, Measure
from broker.model.usage import ChargeKind
from pricing.bills.cells import ATTEMPT_TAG, POOL_TAG, amount, hours, moment, tags
from pricing.bills.table import Pick, Row, Table, nothing, opened

_MUST: Final = (
    "BilledCost",
    "EffectiveCost",
    "BillingCurrency",
    "ChargeCategory",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_MAY: Final = (
    *("ServiceProviderName", "ProviderName", "ServiceName", "ServiceCategory", "ResourceId", "SkuId", "Tags"),
    *("ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "x_Pool", "x_Kind"),
)
_CLASSES: Final = {
    "usage": LineClass.USAGE,
    "credit": LineClass.CREDIT,
    "adjustment": LineClass.CREDIT,
    "tax": LineClass.TAX,
    "purchase": LineClass.OTHER,
}
_COMPUTE: Final = frozenset({"compute", "ai and machine learning"})
_NAMES: Final = (("amazon", "aws"), ("aws", "aws"), ("google", "gcp"), ("microsoft", "azure"), ("azure", "azure"))


@lru_cache(maxsize=256)
def provider(name: str) -> str:
    """A provider as offers name it."""
    said = name.strip().lower()
    return next((ours for theirs, ours in _NAMES if theirs in said), said.replace(" ", "-"))


class Focus:
    """Reads FOCUS files."""

    name = "focus"

    def reads(self, file: Path) -> bool:
        """Whether the columns of FOCUS are there."""
        with opened(file) as table:
            return set(_MUST) <= set(table.columns)

    def lines(self, file: Path, *, billed: bool = False) -> Iterator[BillLine]:
        """Its lines. Raises `InvalidInput`."""
        with opened(file) as table:
            if missing := [name for name in _MUST if name not in table.columns]:
                raise table.wrong(None, missing[0], "this column of FOCUS is missing")
            columns = {name: _pick(table, name) for name in (*_MUST, *_MAY)}
            for number, row in table.rows:
                yield _line(table, number, row, columns, "BilledCost" if billed else "EffectiveCost")


def _pick(table: Table, name: str) -> Pick:
    return itemgetter(table.columns.index(name)) if name in table.columns else nothing


def _line(table: Table, number: int, row: Row, columns: Mapping[str, Pick], cost: str) -> BillLine:
    at = ""
    try:
        at = "BillingCurrency"
        if (currency := columns[at](row)) != "USD":
            raise ValueError(f"is {currency!r}: only bills in USD can be held against the ledger")
        at = "ChargePeriodStart"
        started_ns = moment(columns[at](row))
        at = "ChargePeriodEnd"
        ended_ns = moment(columns[at](row))
        at = cost
        paid = amount(columns[at](row))
        at = "ChargeCategory"
        what, measure, factor, prefix = _what(columns, row)
        at = f"{prefix}Quantity"
        quantity = amount(columns[at](row)) * factor if factor is not None else None
        at = "Tags"
        labels = tags(columns[at](row))
    except ValueError as error:
        raise table.wrong(number, at, str(error)) from None
    return BillLine(
        provider=provider(columns["ServiceProviderName"](row) or columns["ProviderName"](row) or "unknown"),
        resource=columns["ResourceId"](row) or "",
        pool=columns["x_Pool"](row) or labels.get(POOL_TAG, ""),
        attempt=labels.get(ATTEMPT_TAG, ""),
        started_ns=started_ns,
        ended_ns=ended_ns,
        what=what,
        measure=measure,
        quantity=quantity,
        cost=paid,
        service=columns["ServiceName"](row) or columns["SkuId"](row) or "",
    )


def _what(columns: Mapping[str, Pick], row: Row) -> tuple[LineClass, Measure, Any, str]:
    """The class of a row, what its quantity measures, hours in one of it, and which of the two quantities that is."""
    category = str(columns["ChargeCategory"](row)).lower()
    if category not in _CLASSES:
        raise ValueError(f"{category!r} is no charge category of FOCUS")
    what = _CLASSES[category]
    if what is not LineClass.USAGE:
        return what, Measure.NONE, None, "Consumed"
    if columns["x_Kind"](row) == ChargeKind.OTHER.value or not _computes(columns["ServiceCategory"](row)):
        return LineClass.OTHER, Measure.NONE, None, "Consumed"
    for prefix in ("Consumed", "Pricing"):
        if unit := columns[f"{prefix}Unit"](row):
            if found := hours(unit):
                return what, found[0], found[1], prefix
            return LineClass.OTHER, Measure.NONE, None, prefix
    return what, Measure.NONE, None, "Consumed"


def _computes(category: str | None) -> bool:
    return not category or category.lower() in _COMPUTE
