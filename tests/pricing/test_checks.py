from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from broker.model.offers import BillingRule, Offer, Tier
from pricing.checks import problems
from tests.pricing.offers import DAY, offer, serverless

USUAL = [offer(), offer(sku="p5.48xlarge", gpu_count=8, usd_per_hour=Decimal("55.04")), serverless()]


def test_usual_offers_have_no_problem() -> None:
    assert problems(USUAL, DAY) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (offer(), "is there 2 times"),
        (offer(sku="x", usd_per_hour=Decimal(0)), "costs 0"),
        (offer(sku="x", source=" "), "has no source"),
        (offer(sku="x", valid_from=date(1970, 1, 1)), "no date"),
        (offer(sku="x", valid_from=DAY + timedelta(days=2)), "a day that has not come"),
        (offer(sku="x", gpu_model="H1000"), "unknown GPU 'H1000'"),
        (offer(sku="x", gpu_count=12, usd_per_hour=Decimal(80)), "has 12 GPUs of 'H100'"),
        (offer(sku="x", gpu_count=0), "has 0 GPUs of 'H100'"),
        (serverless(sku="x", gpu_count=2), "a serverless price is of one GPU, not of 2"),
        (serverless(sku="x", usd_per_gib_hour=None), "has CPU and memory rates"),
        (
            offer(sku="x", usd_per_cpu_hour=Decimal("0.02"), usd_per_gib_hour=Decimal("0.01")),
            "has CPU and memory rates",
        ),
        (serverless(sku="x", usd_per_cpu_hour=Decimal("0.0000131")), "is not between 0.005 and 0.50"),
        (serverless(sku="x", usd_per_gib_hour=Decimal("5.8")), "is not between 0.0005 and 0.10"),
        (offer(sku="x", usd_per_hour=Decimal("0.7")), "0.7000 per H100 and hour; the median is"),
        (offer(sku="x", usd_per_hour=Decimal("60")), "60.0000 per H100 and hour; the median is"),
        (offer(tier=Tier.SPOT, usd_per_hour=Decimal(7)), "is no less than on demand"),
        (offer(tier=Tier.COMMIT_3Y, usd_per_hour=Decimal(7)), "is no less than on demand"),
        (offer(sku="x", billing=BillingRule(minimum_s=94_608_000)), "is billed by"),
        (offer(sku="x", billing=BillingRule(granularity_s=86_400)), "is billed by"),
    ],
)
def test_a_mistake_is_found_and_named(wrong: Offer, complaint: str) -> None:
    found = problems([*USUAL, wrong], DAY)
    assert len(found) == 1 and complaint in found[0]
    assert found[0].startswith(f"{wrong.id} of ")


def test_a_later_price_of_the_same_offer_is_no_mistake() -> None:
    assert problems([*USUAL, replace(offer(), valid_from=DAY)], DAY) == []
