from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.own_hardware import OwnHardware, owned_offer, owned_rate
from broker.decide.price_book import unit_price
from broker.model.offers import Tier
from broker.model.resources import GIB, Resources

# An 8-GPU server worked out by hand: (250,000 − 20,000) / 4 a year, 6 kW at PUE 1.3 and $0.12, rack and a day a month.
SERVER = OwnHardware(
    purchase_usd=Decimal(250_000),
    years=Decimal(4),
    residual_usd=Decimal(20_000),
    power_w=Decimal(6_000),
    usd_per_kwh=Decimal("0.12"),
    pue=Decimal("1.3"),
    hosting_usd_per_month=Decimal(730),
    staff_hours_per_month=Decimal(8),
    staff_usd_per_hour=Decimal("91.25"),
)
AMOUNTS = st.decimals(0, 1_000_000, places=2)


def test_components_by_hand() -> None:
    rate = owned_rate(SERVER)
    assert rate.purchase == Decimal("6.563926941")
    assert rate.power == Decimal("0.936")
    assert rate.hosting == 1
    assert rate.staff == 1
    assert rate.usd_per_hour == Decimal("9.499926941")


def test_hours_that_it_is_down_are_paid_by_those_that_it_is_up() -> None:
    half = owned_rate(replace(SERVER, utilization=Decimal("0.5")))
    assert half.power == 2 * owned_rate(SERVER).power
    assert half.usd_per_hour == pytest.approx(2 * owned_rate(SERVER).usd_per_hour, abs=Decimal("1e-8"))


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_nothing_makes_it_cheaper_but_a_resale_and_years(purchase: Decimal, hosting: Decimal, power: Decimal) -> None:
    own = OwnHardware(purchase_usd=purchase, years=Decimal(3), hosting_usd_per_month=hosting, power_w=power)
    base = owned_rate(own).usd_per_hour
    assert owned_rate(replace(own, purchase_usd=purchase + 1)).usd_per_hour >= base
    assert owned_rate(replace(own, usd_per_kwh=Decimal(1))).usd_per_hour >= base
    assert owned_rate(replace(own, staff_hours_per_month=Decimal(1), staff_usd_per_hour=Decimal(1))).usd_per_hour > base
    assert owned_rate(replace(own, years=Decimal(4))).usd_per_hour <= base
    assert owned_rate(replace(own, residual_usd=purchase)).purchase == 0


def test_its_offer_prices_the_node() -> None:
    unit = Resources(cpus=128, memory_bytes=1024 * GIB, gpus=8, gpu_model="H100")
    offer = owned_offer(SERVER, name="Rack-1", unit=unit, since=date(2026, 1, 1), source="the invoice of 2026-01")
    assert (offer.id, offer.tier) == ("own/hardware/rack-1/any/owned", Tier.OWNED)
    assert offer.note == "purchase 6.5639, power 0.9360, hosting 1.0000, staff 1.0000"
    price = unit_price([offer], unit, date(2026, 2, 1))
    assert price is not None and price.usd_per_hour == owned_rate(SERVER).usd_per_hour


@pytest.mark.parametrize("wrong", [{"years": Decimal(0)}, {"utilization": Decimal(0)}, {"utilization": Decimal(2)}])
def test_no_hours_to_spread_the_cost_over(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="years must be above 0"):
        replace(SERVER, **wrong)
