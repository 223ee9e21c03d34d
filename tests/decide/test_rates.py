"""What a time costs at a price per hour: the exact amount, rounded once, half to even."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from broker.model.money import NS_PER_HOUR, Money


@given(
    usd_per_hour=st.decimals(0, 10_000, places=9, allow_nan=False, allow_infinity=False),
    duration_ns=st.integers(-(10**18), 10**18),
)
@example(usd_per_hour=Decimal("0.000000001"), duration_ns=NS_PER_HOUR // 2)
@example(usd_per_hour=Decimal("0.000000003"), duration_ns=NS_PER_HOUR // 2)
@example(usd_per_hour=Decimal("0.000000003"), duration_ns=-NS_PER_HOUR // 2)
def test_a_rate_is_rounded_once_and_half_to_even(usd_per_hour: Decimal, duration_ns: int) -> None:
    exact = Fraction(usd_per_hour) * 10**9 * duration_ns / NS_PER_HOUR
    assert Money.of_rate(usd_per_hour, duration_ns).nanodollars == round(exact)
