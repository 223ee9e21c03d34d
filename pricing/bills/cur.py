"""AWS Cost and Usage Reports and Data Exports (CUR 2.0), CSV or Parquet → lines of a bill.

Columns of the first kind (lineItem/UsageStartDate) and of the second (line_item_usage_start_date) are the same here.
The cost of usage under a commitment is what AWS's guide for amortised cost says: its part of what the commitment costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Final

from broker.model.bills import BillLine, LineClass, Measure
from pricing.bills.cells import ATTEMPT_TAG, POOL_TAG, amount, moment, tags
from pricing.bills.table import Pick, Row, Table, nothing, opened

_MUST: Final = ("line_item_line_item_type", "line_item_usage_start_date", "line_item_unblended_cost")
_MAY: Final = (
    *("line_item_usage_end_date", "line_item_currency_code", "line_item_resource_id", "line_item_usage_amount"),
    *("line_item_usage_type", "line_item_product_code", "pricing_unit", "resource_tags"),
    *("reservation_effective_cost", "reservation_unused_amortized_upfront_fee_for_billing_period"),
    *("reservation_unused_recurring_fee", "reservation_reservation_a_r_n"),
    *("savings_plan_savings_plan_effective_cost", "savings_plan_total_commitment_to_date"),
    "savings_plan_used_commitment",
)
_CLASSES: Final = {
    **dict.fromkeys(("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"), LineClass.USAGE),
    **dict.fromkeys(("SavingsPlanNegation", "Credit", "Refund"), LineClass.CREDIT),
    "Tax": LineClass.TAX,
}
_MACHINES: Final = re.compile(r"(?:^|-)(?:Box|Spot|Dedicated|Reserved|Heavy)Usage(?::|$)")


@lru_cache(maxsize=4_096)
def column(name: str) -> str:
    """A column's name of either kind as that of the second: resourceTags/user:team → resource_tags_user_team."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?:[a-z]|[A-Z]|$))", "_", name)
    return re.sub(r"[/:\s]+", "_", snake).lower()


class Cur:
    """Reads Cost and Usage Reports."""

    name = "cur"

    def reads(self, file: Path) -> bool:
        """Whether the columns of such a report are there."""
        with opened(file) as table:
            return set(_MUST) <= {column(name) for name in table.columns}

    def lines(self, file: Path, *, billed: bool = False) -> Iterator[BillLine]:
        """Its lines. Raises `InvalidInput`."""
        with opened(file) as table:
            places = {column(name): place for place, name in enumerate(table.columns)}
            if missing := [name for name in _MUST if name not in places]:
                raise table.wrong(None, missing[0], "this column of a Cost and Usage Report is missing")
            named = [*_MUST, *_MAY, *(f"resource_tags_user_{tag}" for tag in (POOL_TAG, ATTEMPT_TAG))]
            picks = {name: itemgetter(places[name]) if name in places else nothing for name in named}
            for number, row in table.rows:
                yield _line(table, number, row, picks, billed)


def _line(table: Table, number: int, row: Row, of: Mapping[str, Pick], billed: bool) -> BillLine:
    at = "line_item_currency_code"
    try:
        if (currency := of[at](row) or "USD") != "USD":
            raise ValueError(f"is {currency!r}: only bills in USD can be held against the ledger")
        at = "line_item_usage_start_date"
        started_ns = moment(of[at](row))
        at = "line_item_usage_end_date"
        ended_ns = moment(of[at](row)) if of[at](row) else started_ns
        kind = of["line_item_line_item_type"](row)
        at = "line_item_unblended_cost"
        cost = amount(of[at](row)) if billed else _amortised(kind, row, of)
        at = "line_item_usage_amount"
        what, measure, quantity = _what(kind, row, of)
        at = "resource_tags"
        labels = tags(of[at](row))
    except ValueError as error:
        raise table.wrong(number, at, str(error)) from None
    return BillLine(
        provider="aws",
        resource=of["line_item_resource_id"](row) or "",
        pool=of[f"resource_tags_user_{POOL_TAG}"](row) or labels.get(POOL_TAG, ""),
        attempt=of[f"resource_tags_user_{ATTEMPT_TAG}"](row) or labels.get(ATTEMPT_TAG, ""),
        started_ns=started_ns,
        ended_ns=ended_ns,
        what=what,
        measure=measure,
        quantity=quantity,
        cost=cost,
        service=of["line_item_product_code"](row) or "",
    )


def _amortised(kind: str, row: Row, of: Mapping[str, Pick]) -> Decimal:
    """What a line costs with commitments spread over the usage that they cover."""
    match kind:
        case "DiscountedUsage":
            return amount(of["reservation_effective_cost"](row))
        case "SavingsPlanCoveredUsage":
            return amount(of["savings_plan_savings_plan_effective_cost"](row))
        case "SavingsPlanNegation" | "SavingsPlanUpfrontFee":
            return _ZERO
        case "SavingsPlanRecurringFee":
            made = amount(of["savings_plan_total_commitment_to_date"](row))
            return made - amount(of["savings_plan_used_commitment"](row))
        case "RIFee":
            upfront = amount(of["reservation_unused_amortized_upfront_fee_for_billing_period"](row))
            return upfront + amount(of["reservation_unused_recurring_fee"](row))
        case "Fee" if of["reservation_reservation_a_r_n"](row):
            return _ZERO
        case _:
            return amount(of["line_item_unblended_cost"](row))


_ZERO: Final = Decimal(0)


def _what(kind: str, row: Row, of: Mapping[str, Pick]) -> tuple[LineClass, Measure, Decimal | None]:
    what = LineClass.CREDIT if kind.endswith("Discount") else _CLASSES.get(kind, LineClass.OTHER)
    if what is not LineClass.USAGE:
        return what, Measure.NONE, None
    if not _MACHINES.search(of["line_item_usage_type"](row) or ""):
        return LineClass.OTHER, Measure.NONE, None
    if (of["pricing_unit"](row) or "Hrs").lower() not in ("hrs", "hours", "hour"):
        return LineClass.USAGE, Measure.NONE, None
    return LineClass.USAGE, Measure.UNIT, amount(of["line_item_usage_amount"](row))
