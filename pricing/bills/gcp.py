"""Google Cloud's billing export, as BigQuery writes its rows (JSON lines, or CSV with dotted columns) → lines.

A row's credits are a line of their own beside its cost. Another currency becomes dollars at the rate of the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from broker.model.bills import BillLine, LineClass, Measure
from pricing.bills.cells import ATTEMPT_TAG, POOL_TAG, amount, hours, moment, tags
from pricing.bills.table import opened

_MUST: Final = ("usage_start_time", "usage_end_time", "cost", "currency")
_TYPES: Final = {"tax": LineClass.TAX, "adjustment": LineClass.CREDIT, "rounding_error": LineClass.CREDIT}
# What a SKU of Compute Engine says it counts; B200 and the like are sold by the slice of a machine with one GPU.
_PARTS: Final = (
    ("gpu slice", Measure.GPU),
    ("gpu", Measure.GPU),
    ("instance ram", Measure.MEMORY),
    ("instance core", Measure.CPU),
    ("running in", Measure.UNIT),
)


class Gcp:
    """Reads rows of the export to BigQuery, standard or detailed."""

    name = "gcp"

    def reads(self, file: Path) -> bool:
        """Whether the columns of the export are there."""
        with opened(file) as table:
            return set(_MUST) <= set(table.columns)

    def lines(self, file: Path, *, billed: bool = False) -> Iterator[BillLine]:
        """Its lines; the export knows one cost, whatever `billed` says. Raises `InvalidInput`."""
        with opened(file) as table:
            for number, record in table.records:
                try:
                    yield from _row(_nested(record))
                except KeyError as error:
                    raise table.wrong(number, str(error.args[0]), "is missing") from None
                except (ValueError, ArithmeticError, AttributeError, TypeError) as error:
                    raise table.wrong(number, "", str(error)) from None


def _nested(flat: Mapping[str, Any]) -> Mapping[str, Any]:
    """`service.description` in a column's name is a field of a field; lists and maps in CSV are JSON."""
    if not any("." in name for name in flat):
        return {name: _value(value) for name, value in flat.items()}
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = _value(value)
    return found


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value, parse_float=Decimal)
    return value


def _row(row: Mapping[str, Any]) -> Iterator[BillLine]:
    rate = _rate(row)
    labels = tags(row.get("labels"))
    what, measure, quantity = _what(row)
    line = BillLine(
        provider="gcp",
        resource=_resource(row),
        pool=labels.get(POOL_TAG, ""),
        attempt=labels.get(ATTEMPT_TAG, ""),
        started_ns=moment(row["usage_start_time"]),
        ended_ns=moment(row["usage_end_time"]),
        what=what,
        measure=measure,
        quantity=quantity,
        cost=amount(row["cost"]) / rate,
        service=_said(row, "service", "description"),
    )
    yield line
    credits = sum((amount(each["amount"]) for each in row.get("credits") or ()), start=Decimal(0))
    if credits:
        yield line._replace(what=LineClass.CREDIT, measure=Measure.NONE, quantity=None, cost=credits / rate)


def _rate(row: Mapping[str, Any]) -> Decimal:
    if row["currency"] == "USD":
        return Decimal(1)
    if not (rate := amount(row.get("currency_conversion_rate"))):
        raise ValueError(f"the currency is {row['currency']!r} and the row has no currency_conversion_rate")
    return rate


def _what(row: Mapping[str, Any]) -> tuple[LineClass, Measure, Decimal | None]:
    what = _TYPES.get(str(row.get("cost_type") or "regular"))
    if what is not None:
        return what, Measure.NONE, None
    sku = _said(row, "sku", "description").lower()
    part = next((measure for said, measure in _PARTS if said in sku), None)
    used = row.get("usage") or {}
    found = hours(used.get("pricing_unit"))
    if _said(row, "service", "description") != "Compute Engine" or part is None or found is None:
        return LineClass.OTHER, Measure.NONE, None
    return LineClass.USAGE, part, amount(used.get("amount_in_pricing_units")) * found[1]


def _resource(row: Mapping[str, Any]) -> str:
    return _said(row, "resource", "name") or _said(row, "resource", "global_name")


def _said(row: Mapping[str, Any], *path: str) -> str:
    """A text inside of a row; "" where it is not there."""
    found: Any = row
    for name in path:
        found = (found or {}).get(name)
    return str(found or "")
