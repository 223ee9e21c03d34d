"""Money: exact amounts, from prices per hour and intervals in nanoseconds.

Amounts are whole nanodollars; prices are decimals. Floats never enter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

NANODOLLARS_PER_USD = 1_000_000_000
NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3_600 * NS_PER_S


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount of US dollars, held as whole nanodollars; may be negative (a correction)."""

    nanodollars: int = 0

    @classmethod
    def of_usd(cls, usd: Decimal | int | str) -> Money:
        """The amount nearest to `usd` dollars (half to even below a nanodollar)."""
        scaled = Decimal(usd) * NANODOLLARS_PER_USD
        return cls(int(scaled.to_integral_value(rounding=ROUND_HALF_EVEN)))

    @classmethod
    def of_rate(cls, usd_per_hour: Decimal, duration_ns: int) -> Money:
        """What `duration_ns` nanoseconds cost at a price per hour, rounded half to even once."""
        dollars, parts = usd_per_hour.as_integer_ratio()
        below, rest = divmod(dollars * NANODOLLARS_PER_USD * duration_ns, parts * NS_PER_HOUR)
        over_half = 2 * rest - parts * NS_PER_HOUR
        return cls(below + (over_half > 0 or (over_half == 0 and below % 2 == 1)))

    @classmethod
    def total(cls, amounts: Iterable[Money]) -> Money:
        """The exact sum; zero for none."""
        return cls(sum(amount.nanodollars for amount in amounts))

    @property
    def usd(self) -> Decimal:
        """The amount in dollars, exact."""
        return Decimal(self.nanodollars) / NANODOLLARS_PER_USD

    def __add__(self, other: Money) -> Money:
        return Money(self.nanodollars + other.nanodollars)

    def __sub__(self, other: Money) -> Money:
        return Money(self.nanodollars - other.nanodollars)

    def __neg__(self) -> Money:
        return Money(-self.nanodollars)

    def __bool__(self) -> bool:
        return self.nanodollars != 0

    def __str__(self) -> str:
        """Dollars for people: cents from a dollar up, four significant digits below it."""
        sign, usd = ("-" if self.nanodollars < 0 else ""), abs(self.usd)
        if usd >= 1 or usd == 0:
            return f"{sign}${usd:,.2f}"
        shown = f"{usd:.{max(2, 3 - usd.adjusted())}f}"
        whole, cents = shown.split(".")
        return f"{sign}${whole}.{cents.rstrip('0').ljust(2, '0')}"

    def split(self, weights: Sequence[Fraction | int]) -> tuple[Money, ...]:
        """Parts in proportion to `weights` that add up to this amount to the nanodollar (largest remainder).

        Raises ValueError when a weight is negative or all are zero.
        """
        whole = sum(weights, start=Fraction(0))
        if whole <= 0 or any(weight < 0 for weight in weights):
            raise ValueError(f"weights must not be negative and must have a positive sum: {list(weights)}")
        exact = [self.nanodollars * Fraction(weight) / whole for weight in weights]
        parts = [part.numerator // part.denominator for part in exact]
        by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
        for i in by_remainder[: self.nanodollars - sum(parts)]:
            parts[i] += 1
        return tuple(Money(part) for part in parts)


ZERO = Money(0)
