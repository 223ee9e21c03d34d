"""Offers and listings for the tests of this folder."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from broker.model.offers import Offer, Tier
from pricing.catalog_format import offer_id
from pricing.normalise import Listing

DAY = date(2026, 11, 23)


def offer(**fields: Any) -> Offer:
    """One H100 on demand, with what is said changed; its id follows."""
    made = Offer(
        id="",
        provider="aws",
        product="ec2",
        sku="p5.4xlarge",
        region="us-east-1",
        tier=Tier.ON_DEMAND,
        gpu_model="H100",
        gpu_count=1,
        cpus=16,
        memory_gib=256,
        usd_per_hour=Decimal("6.88"),
        valid_from=date(2026, 7, 20),
        source="a test",
    )
    made = replace(made, **fields)
    return replace(made, id=offer_id(made.provider, made.product, made.sku, made.region, made.tier))


def serverless(**fields: Any) -> Offer:
    """One serverless H100 with rates."""
    rates = {"usd_per_cpu_hour": Decimal("0.02358"), "usd_per_gib_hour": Decimal("0.007992")}
    terms = {"tier": Tier.SERVERLESS, "product": "functions", "sku": "H100", "region": "", "cpus": None}
    return offer(
        **{"provider": "modal", "usd_per_hour": Decimal("3.9492"), "memory_gib": None, **terms, **rates, **fields}
    )


def listing(**cells: str) -> Listing:
    """One row of a price list."""
    plain = {
        "provider": "aws",
        "product": "ec2",
        "sku": "p5.48xlarge",
        "gpu_model": "H100",
        "gpu_count": "8",
        "vcpus": "192",
        "memory_gb": "2048.0",
        "region": "us-east-1",
        "tier": "on_demand",
        "usd_per_hour": "55.04",
        "billing_granularity_s": "1",
        "min_billing_s": "60",
        "as_of": "2026-07-20",
        "source": "a test",
        "note": "",
    }
    return Listing(**{**plain, **cells})
