from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.price_book import STALE_AFTER_DAYS, PriceBook, cost, stale, unit_price
from broker.decide.tariff import Price
from broker.model.errors import PriceMissing
from broker.model.money import NS_PER_S, Money
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.resources import GIB, Resources

DAY = date(2026, 11, 23)


def offer(offer_id: str = "aws/ec2/p5/us-east-1/on_demand", usd: str = "8", **fields: Any) -> Offer:
    plain = Offer(
        id=offer_id,
        provider=offer_id.split("/")[0],
        product="ec2",
        sku="p5",
        region="us-east-1",
        tier=Tier.ON_DEMAND,
        gpu_model="H100",
        gpu_count=8,
        cpus=192,
        memory_gib=2048,
        usd_per_hour=Decimal(usd),
        valid_from=date(2026, 1, 1),
        source="a test",
    )
    return replace(plain, **fields)


def serverless(model: str = "H100", usd: str = "4", **fields: Any) -> Offer:
    made = offer(f"modal/functions/{model.lower()}/any/serverless", usd, cpus=None, memory_gib=None, **fields)
    return replace(made, tier=Tier.SERVERLESS, gpu_model=model, gpu_count=1 if model else 0)


RATES = {"usd_per_cpu_hour": Decimal("0.02"), "usd_per_gib_hour": Decimal("0.01")}


@given(st.lists(st.integers(0, 400), min_size=1, unique=True), st.integers(0, 400))
def test_the_newest_price_that_is_not_of_the_future(days: list[int], today: int) -> None:
    start = date(2026, 1, 1)
    book = PriceBook(offer(usd=str(day + 1), valid_from=start + timedelta(days=day)) for day in days)
    past = [day for day in days if day <= today]
    if past:
        assert book.at("AWS/ec2/p5/us-east-1/on_demand", start + timedelta(days=today)).usd_per_hour == max(past) + 1
    else:
        with pytest.raises(PriceMissing, match=f"the first is of {start + timedelta(days=min(days))}"):
            book.at("aws/ec2/p5/us-east-1/on_demand", start + timedelta(days=today))


def test_a_mistyped_id_names_the_nearest() -> None:
    book = PriceBook([offer(), offer("gcp/gce/a3/us-east4/spot")])
    with pytest.raises(PriceMissing, match="among 2 known; did you mean aws/ec2/p5/us-east-1/on_demand"):
        book.at("aws/ec2/p5/us-east-1/ondemand", DAY)
    with pytest.raises(PriceMissing, match="broker prices"):
        book.at("zzz", DAY)


def test_find_is_by_what_is_said_and_cheapest_per_gpu_first() -> None:
    everywhere = offer("runpod/pods/h100/any/on_demand", "2", gpu_count=1, region="")
    west = offer("aws/ec2/p5/us-west-2/spot", "7", tier=Tier.SPOT, region="us-west-2")
    cpu = offer("aws/ec2/c7i/us-east-1/on_demand", "0.7", gpu_model="", gpu_count=0)
    old = offer(usd="9", valid_from=date(2025, 1, 1))
    book = PriceBook([everywhere, west, offer(), old, cpu])
    assert book.find(DAY, gpu="nvidia h100") == (west, offer(), everywhere)
    assert book.find(DAY, gpu="H100", region="us-west-2") == (west, everywhere)
    assert book.find(DAY, provider="aws", tier=Tier.ON_DEMAND, gpu="H100") == (offer(),)
    assert book.find(date(2025, 6, 1)) == (old,)
    assert book.find(DAY, gpu="") == (cpu,)


@pytest.mark.parametrize(("age", "expected"), [(STALE_AFTER_DAYS, False), (STALE_AFTER_DAYS + 1, True)])
def test_stale_is_older_than_the_limit(age: int, expected: bool) -> None:
    assert stale(offer(valid_from=DAY - timedelta(days=age)), DAY) is expected


def test_a_node_costs_all_of_it_however_little_is_used() -> None:
    for gpus in (0, 1, 8):
        price = unit_price([offer()], Resources(cpus=4, gpus=gpus, gpu_model="H100" if gpus else ""), DAY)
        assert price is not None and price.usd_per_hour == 8 and price.offers == (offer(),)
    named: Price | None = unit_price([offer()], Resources(gpus=8, gpu_model="H100"), DAY)
    assert named is not None and named.billing == BillingRule()


@pytest.mark.parametrize(
    "unit",
    [
        Resources(gpus=9, gpu_model="H100"),
        Resources(gpus=1, gpu_model="A100-80GB"),
    ],
)
def test_no_price_where_no_offer_fits(unit: Resources) -> None:
    assert unit_price([offer()], unit, DAY) is None
    assert unit_price([serverless("L4")], unit, DAY) is None
    assert unit_price([], unit, DAY) is None


def test_no_price_before_the_first_is_known() -> None:
    assert unit_price([offer()], Resources(), date(2025, 12, 31)) is None


def test_of_nodes_that_fit_the_cheapest_that_holds_everything() -> None:
    small = offer("aws/ec2/small/r/on_demand", "1", cpus=4, memory_gib=16, gpu_model="", gpu_count=0)
    large = offer("aws/ec2/large/r/on_demand", "4", cpus=16, memory_gib=64, gpu_model="", gpu_count=0)

    def chosen(cpus: float, gib: int) -> Decimal | None:
        price = unit_price([large, small], Resources(cpus=cpus, memory_bytes=gib * GIB), DAY)
        return price and price.usd_per_hour

    assert chosen(4, 16) == 1
    assert chosen(5, 16) == 4
    assert chosen(4, 17) == 4
    assert chosen(64, 16) == 1, "a machine larger than any on offer stands in for the cheapest"


@given(st.integers(0, 8), st.integers(0, 64), st.integers(0, 512))
def test_a_container_costs_its_gpus_cpus_and_memory(gpus: int, cpus: int, gib: int) -> None:
    offers = [serverless(**RATES), serverless("", "0", **RATES), serverless("L4", "1", **RATES)]
    unit = Resources(cpus=cpus, memory_bytes=gib * GIB, gpus=gpus, gpu_model="H100" if gpus else "")
    price = unit_price(offers, unit, DAY)
    assert price is not None
    assert price.usd_per_hour == 4 * gpus + Decimal("0.02") * cpus + Decimal("0.01") * gib
    assert price.offers[0].gpu_model in ("H100" if gpus else "", "H100", "L4")


def test_a_container_without_gpu() -> None:
    unit = Resources(cpus=2, memory_bytes=GIB)
    assert unit_price([serverless()], unit, DAY) is None, "what is left of the price without its GPU is not stated"
    rated = unit_price([serverless(**RATES)], unit, DAY)
    assert rated is not None and rated.usd_per_hour == Decimal("0.05")
    fixed = unit_price([serverless("", "0.36")], unit, DAY)
    assert fixed is not None and fixed.usd_per_hour == Decimal("0.36")


def test_the_day_chooses_among_dated_prices_of_one_offer() -> None:
    history = [serverless(usd="4"), serverless(usd="3", valid_from=date(2026, 6, 1))]
    unit = Resources(gpus=2, gpu_model="H100")
    before, after = unit_price(history, unit, date(2026, 5, 31)), unit_price(history, unit, date(2026, 6, 1))
    assert before is not None and after is not None
    assert (before.usd_per_hour, after.usd_per_hour) == (8, 6)


def test_cost_is_rounded_up_by_the_billing_rule() -> None:
    node = offer(usd="3.60", billing=BillingRule(granularity_s=10, minimum_s=60))
    price = unit_price([node], Resources(gpus=1, gpu_model="H100"), DAY)
    assert price is not None
    assert cost(price, 1) == Money.of_usd("0.06")
    assert cost(price, 61 * NS_PER_S) == Money.of_usd("0.07")
