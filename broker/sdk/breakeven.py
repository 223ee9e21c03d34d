"""`broker.breakeven`: a GPU model → its breakevens at the known prices, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from broker.decide.breakeven import Breakeven, Conditions
from broker.decide.price_book import stale
from broker.model.errors import InvalidInput
from broker.run.money.breakeven_table import Asked, breakeven_table
from broker.run.plugins import price_offers


def breakeven(
    gpu: str,
    *,
    providers: Sequence[str] = (),
    tiers: Sequence[str] = (),
    serverless: Sequence[str] = (),
    at: date | None = None,
    **conditions: float,
) -> list[dict[str, Any]]:
    """How busy a GPU must be for holding it to pay: each way to hold one against each serverless provider.

    Needs no running broker. `conditions` are those of `broker breakeven`: `ops_share`, `cold_start_s`, `idle_tail_s`,
    `job_s`, `packing`, `head_usd_hour`, … Rows are cheapest first, in dollars for an hour of one GPU; a `breakeven`
    above 1 means that holding never pays. Raises `InvalidInput`, `UnknownName`, `PriceMissing`.
    """
    day = at or datetime.now(UTC).date()
    asked = Asked(
        day=day,
        conditions=_conditions(conditions),
        providers=tuple(providers),
        tiers=tuple(tiers),
        serverless=tuple(serverless),
    )
    return [_row(cell, day) for cell in breakeven_table(price_offers(), gpu, asked).cells]


def _conditions(given: dict[str, float]) -> Conditions:
    unknown = sorted(given.keys() - Conditions.__dataclass_fields__.keys())
    if unknown:
        there = ", ".join(Conditions.__dataclass_fields__)
        raise InvalidInput(f"there is no condition {', '.join(unknown)}: there are {there}")
    try:
        return Conditions(**{name: Decimal(str(value)) for name, value in given.items()})
    except (ValueError, ArithmeticError) as error:
        raise InvalidInput(str(error)) from None


def _row(cell: Breakeven, day: date) -> dict[str, Any]:
    held, bought = cell.cluster, cell.serverless
    return {
        "offer": held.id,
        "provider": held.provider,
        "tier": held.tier.value,
        "region": held.region,
        "usd_per_hour": float(cell.held_usd),
        "serverless_offer": bought.id,
        "serverless": bought.provider,
        "serverless_usd_per_hour": float(cell.bought_usd),
        "breakeven": float(cell.utilization),
        "age_days": max(held.age_days(day), bought.age_days(day)),
        "stale": stale(held, day) or stale(bought, day),
    }
