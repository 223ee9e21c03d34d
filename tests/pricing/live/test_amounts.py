from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.live.amounts import HIGHEST, Unusable, amount, in_usd


@given(st.decimals(min_value="0.000001", max_value=HIGHEST, places=10))
def test_an_amount_is_kept_exactly_however_it_is_written(value: Decimal) -> None:
    assert amount(f" {value:f} ") == amount(f"{value:e}") == amount(value) == value


@given(st.one_of(st.text(), st.none(), st.booleans(), st.floats(), st.decimals(), st.lists(st.integers())))
def test_whatever_is_written_is_a_price_or_unusable(written: object) -> None:
    try:
        assert 0 < amount(written) <= HIGHEST
    except Unusable as error:
        assert str(error)


@pytest.mark.parametrize("written", ["", "free", "-1", "0", "0.0000", "nan", "Infinity", "1e9", "1e-20", None, "1,000"])
def test_no_price(written: object) -> None:
    with pytest.raises(Unusable):
        amount(written)


def test_a_price_of_many_hours_may_be_higher() -> None:
    assert amount("1100000", hours=26_280) == 1_100_000
    with pytest.raises(Unusable, match="no machine costs more than"):
        amount("1100000")


@pytest.mark.parametrize(("currency", "says"), [("EUR", "is in 'EUR'"), ("", "no currency"), (None, "no currency")])
def test_only_dollars(currency: object, says: str) -> None:
    in_usd("USD")
    with pytest.raises(Unusable, match=says):
        in_usd(currency)
