"""Nanoseconds, money and costs → how JSON has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from broker.api import schemas
from broker.model.money import Money
from broker.model.times import bounded
from broker.run.service import Cost

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time(ns: int) -> datetime:
    """Nanoseconds since the epoch, to the microsecond."""
    return _EPOCH + timedelta(microseconds=ns // 1_000)


def time_or_none(ns: int | None) -> datetime | None:
    """The same where there may be none."""
    return None if ns is None else time(ns)


def nanoseconds(moment: datetime | None) -> int | None:
    """Nanoseconds since the epoch, within what a store can hold."""
    if moment is None:
        return None
    return bounded((moment - _EPOCH) // timedelta(microseconds=1) * 1_000)


def money(amount: Money) -> schemas.Money:
    """An exact amount."""
    return schemas.Money(usd=_usd(amount), nanodollars=amount.nanodollars)


def money_or_none(amount: Money | None) -> schemas.Money | None:
    """The same where it may not be known."""
    return None if amount is None else money(amount)


def cost(cost: Cost) -> schemas.Cost:
    """A cost; nothing known beside something unknown is null, not zero."""
    nothing_known = bool(cost.unknown) and not cost.known
    return schemas.Cost(
        usd=None if nothing_known else _usd(cost.known),
        nanodollars=None if nothing_known else cost.known.nanodollars,
        unknown=cost.unknown,
        complete=cost.complete,
    )


def _usd(amount: Money) -> str:
    """Dollars with at least cents: `0.00`, `12.50`, `0.000000001`."""
    whole, _, digits = f"{amount.usd:.9f}".partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"
