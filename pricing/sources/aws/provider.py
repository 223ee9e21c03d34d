"""AWS asked region by region: shapes, then on-demand prices, spot prices and commitments, each on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from broker.model.errors import BrokerError, Unreachable
from broker.model.offers import Tier
from pricing.live.answer import Answer, Asked, Failure, Part, Refused
from pricing.live.attempts import Found, ask, parsing
from pricing.sources.aws.calls import asking, client
from pricing.sources.aws.offers import LINUX, commitments, on_demand, spot
from pricing.sources.aws.shapes import Shape, shapes

PRICE_LIST_REGION: Final = "us-east-1"  # the Price List and Savings Plans answer for all regions from few
ACCELERATED: Final = ("g*", "p*")  # families of instance types that have GPUs
AT_ONCE: Final = 50  # instance types in one question


class Aws:
    """The provider `aws`."""

    name = "aws"

    def answers(self, asked: Asked) -> Iterator[Answer | Failure]:
        """Needs the permissions ec2:DescribeInstanceTypes, pricing:GetProducts, ec2:DescribeSpotPriceHistory and
        savingsplans:DescribeSavingsPlansOfferingRates; where one is missing, the others' prices come all the same.
        """
        for region in asked.regions or (PRICE_LIST_REGION,):
            yield from _of_region(asked, region)


def _of_region(asked: Asked, region: str) -> Iterator[Answer | Failure]:
    parts = [Part(provider="aws", region=region, tiers=tiers) for tiers, _ in QUESTIONS]
    try:
        with parsing(f"aws {region} machines"):
            there, odd = shapes(_described(asked, region))
    except BrokerError as error:
        yield from (Failure(part=part, error=error) for part in parts)
        return
    for part, (_, question) in zip(parts, QUESTIONS, strict=True):
        answer = ask(part, partial(question, asked, region, there))
        if isinstance(answer, Answer) and part is parts[0]:
            answer = replace(answer, left_out=(*odd, *_unpriced(there, answer)))
        yield answer


def _unpriced(there: dict[str, Shape], answer: Answer) -> Iterator[Refused]:
    """Machines that are there and that the answer does not speak of."""
    told = {offer.sku for offer in answer.offers} | {each.thing.split(" ")[0] for each in answer.refused}
    yield from (Refused(thing=sku, reason="has no price on demand") for sku in sorted(there.keys() - told))


def _described(asked: Asked, region: str) -> Iterator[dict[str, Any]]:
    ec2 = client("ec2", region)
    with asking("ec2:DescribeInstanceTypes", region):
        pages = ec2.get_paginator("describe_instance_types")
        families = [{"Name": "instance-type", "Values": [*ACCELERATED, *asked.skus]}]
        for page in pages.paginate(Filters=families):
            yield from page["InstanceTypes"]


def _on_demand(asked: Asked, region: str, there: dict[str, Shape]) -> Found:
    listed = [text for wanted in _products(asked) for text in _price_list(region, wanted)]
    return on_demand(listed, there, region, asked.day)


def _products(asked: Asked) -> Iterator[tuple[str, str]]:
    """What to ask the Price List for: all machines with GPUs, and each other one by name."""
    yield "instanceFamily", "GPU instance"
    yield from (("instanceType", sku) for sku in asked.skus)


def _price_list(region: str, wanted: tuple[str, str]) -> Iterator[str]:
    usual = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in (*usual.items(), wanted)]
    pricing = client("pricing", PRICE_LIST_REGION)
    with asking("pricing:GetProducts", PRICE_LIST_REGION):
        for page in pricing.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters):
            yield from page.get("PriceList", ())


def _spot(asked: Asked, region: str, there: dict[str, Shape]) -> Found:
    ec2, entries = client("ec2", region), []
    now = datetime.now(UTC)  # with a start that is not past, what is told is the price that holds now in each zone
    with asking("ec2:DescribeSpotPriceHistory", region):
        pages = ec2.get_paginator("describe_spot_price_history")
        for skus in _in_parts(sorted(there)):
            for page in pages.paginate(InstanceTypes=skus, ProductDescriptions=list(LINUX), StartTime=now):
                entries += page.get("SpotPriceHistory", ())
    return spot(entries, there, region, asked.day)


def _commitments(asked: Asked, region: str, there: dict[str, Shape]) -> Found:
    plans = client("savingsplans", PRICE_LIST_REGION)
    rates: list[dict[str, Any]] = []
    with asking("savingsplans:DescribeSavingsPlansOfferingRates", PRICE_LIST_REGION):
        for skus in _in_parts(sorted(there)):
            rates += _rates(plans, region, skus)
    return commitments(rates, there, region, asked.day)


def _rates(plans: Any, region: str, skus: list[str]) -> Iterator[dict[str, Any]]:
    """All pages; the client has no paginator for them."""
    filters = {"region": [region], "instanceType": skus, "tenancy": ["shared"], "productDescription": ["Linux/UNIX"]}
    question = {
        "savingsPlanPaymentOptions": ["No Upfront"],
        "savingsPlanTypes": ["EC2Instance"],
        "products": ["EC2"],
        "serviceCodes": ["AmazonEC2"],
        "filters": [{"name": name, "values": values} for name, values in filters.items()],
    }
    tokens: list[str] = []
    while True:
        page = plans.describe_savings_plans_offering_rates(**question, **({"nextToken": tokens[-1]} if tokens else {}))
        yield from page.get("searchResults", ())
        token = page.get("nextToken")
        if not token:
            return
        if token in tokens:
            raise Unreachable(f"AWS repeats a page of Savings Plans rates of {region}: ask again later")
        tokens.append(token)


def _in_parts(skus: list[str]) -> Iterator[list[str]]:
    yield from (skus[at : at + AT_ONCE] for at in range(0, len(skus), AT_ONCE))


QUESTIONS: Final[tuple[tuple[frozenset[Tier], Callable[[Asked, str, dict[str, Shape]], Found]], ...]] = (
    (frozenset({Tier.ON_DEMAND}), _on_demand),
    (frozenset({Tier.SPOT}), _spot),
    (frozenset({Tier.COMMIT_1Y, Tier.COMMIT_3Y}), _commitments),
)
