"""Numbers as price lists write them → exact amounts, or why they can't be used."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

DIGITS: Final = 12  # after the point; what lists give beyond is noise of their own arithmetic
HIGHEST: Final = 10_000  # dollars an hour; no machine costs more


class Unusable(ValueError):
    """What a price list says can't be used; the text says why."""


def amount(written: object, hours: int = 1) -> Decimal:
    """The price above zero of so many hours.

    Raises `Unusable` for what is no number, not finite, zero, negative or beyond all reason.
    """
    try:
        value = Decimal(str(written).strip())
    except InvalidOperation:
        raise Unusable(f"{_shown(written)} is no number") from None
    if not value.is_finite():
        raise Unusable(f"{_shown(written)} is no amount")
    if value <= 0:
        raise Unusable(f"costs {_shown(written)}: nothing is free")
    if value > HIGHEST * hours:
        raise Unusable(f"costs {_shown(written)}: no machine costs more than ${HIGHEST:,} an hour")
    return exact(value)


def exact(value: Decimal) -> Decimal:
    """The amount without digits of noise and zeros at its end. Raises `Unusable` when nothing is left of it."""
    rounded = Decimal(f"{round(value, DIGITS).normalize():f}")
    if not rounded:
        raise Unusable(f"costs {_shown(value)}: nothing costs so little")
    return rounded


def in_usd(currency: object) -> None:
    """Raises `Unusable` unless the currency is stated and is US dollars."""
    if currency != "USD":
        raise Unusable(f"is in {_shown(currency)}, not in USD" if currency else "states no currency")


def _shown(written: object) -> str:
    return repr(str(written) if isinstance(written, Decimal) else written)[:40]
