"""The breakevens of the bundled prices, against a table that was worked out apart from this code.

`PRICES.md` has the whole of it; where it is not beside the checkout, the facts that matter most are here as literals.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from statistics import median

import pytest

from broker.decide.breakeven import TWINS, purchase_breakeven, right_sized
from broker.decide.price_book import PriceBook
from broker.model.offers import Offer, Tier
from broker.model.resources import Resources
from pricing.catalog_source import CatalogSource

DAY = date(2026, 11, 23)
PRICES = Path(__file__).parents[3] / "shared" / "PRICES.md"
MODELS = ("T4", "L4", "A10G", "L40S", "A100-40GB", "A100-80GB", "H100", "H200", "B200")
HYPERSCALERS = ("aws", "gcp", "azure")
TIERS = {"on-demand": Tier.ON_DEMAND, "spot": Tier.SPOT, "1 y": Tier.COMMIT_1Y, "3 y": Tier.COMMIT_3Y}

ROUNDED = Decimal("0.0056")  # the table was rounded to three digits, and then to two

needs_prices = pytest.mark.skipif(
    not PRICES.exists(), reason="the table it is compared with is not beside the checkout"
)


@pytest.fixture(scope="module")
def offers() -> tuple[Offer, ...]:
    return tuple(CatalogSource().offers())


@pytest.fixture(scope="module")
def modal(offers: tuple[Offer, ...]) -> dict[str, Offer]:
    found = PriceBook(offers).find(DAY, provider="modal")
    return {offer.gpu_model: offer for offer in found if offer.product == "functions"}


@pytest.fixture(scope="module")
def clusters(offers: tuple[Offer, ...]) -> tuple[Offer, ...]:
    """Every price of a right-sized host with one of the nine GPUs, replaced ones included."""
    return right_sized([offer for offer in offers if offer.gpu_model in MODELS and offer.tier is not Tier.SERVERLESS])


def share(cluster: Offer, modal: dict[str, Offer], *, gpu_only: bool = False) -> Decimal:
    sold_as = TWINS.get(cluster.gpu_model, cluster.gpu_model)
    container = Resources(gpus=1, gpu_model=sold_as) if gpu_only else None
    return purchase_breakeven(cluster, modal[sold_as], DAY, container=container).utilization


def cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def cheapest(clusters: Sequence[Offer], **wanted: object) -> Offer:
    fitting = [offer for offer in clusters if all(getattr(offer, field) == value for field, value in wanted.items())]
    return min(fitting, key=lambda offer: offer.usd_per_gpu_hour or 0)


@pytest.mark.parametrize(
    ("provider", "tier", "gpu", "expected"),
    [
        ("aws", Tier.ON_DEMAND, "H100", "1.42"),
        ("aws", Tier.ON_DEMAND, "B200", "2.00"),
        ("aws", Tier.SPOT, "H100", "0.37"),
        ("aws", Tier.COMMIT_3Y, "H100", "0.53"),
        ("gcp", Tier.COMMIT_1Y, "H100", "1.59"),
        ("gcp", Tier.COMMIT_1Y, "L4", "0.44"),
        ("runpod", Tier.ON_DEMAND, "H100", "0.56"),
        ("aws", Tier.COMMIT_3Y, "A100-40GB", "0.40"),
    ],
)
def test_facts(
    clusters: tuple[Offer, ...], modal: dict[str, Offer], provider: str, tier: Tier, gpu: str, expected: str
) -> None:
    offer = cheapest(clusters, provider=provider, tier=tier, gpu_model=gpu)
    assert cents(share(offer, modal)) == Decimal(expected)


def test_no_hyperscaler_sells_a_large_gpu_on_demand_that_pays(
    clusters: tuple[Offer, ...], modal: dict[str, Offer]
) -> None:
    large = [
        o for o in clusters if o.provider in HYPERSCALERS and o.tier is Tier.ON_DEMAND and o.gpu_model in MODELS[4:]
    ]
    assert len(large) > 15
    assert min(share(offer, modal) for offer in large) > 1


def test_forty_to_fifty_percent_is_the_middle_of_spot_and_three_years_only(
    clusters: tuple[Offer, ...], modal: dict[str, Offer]
) -> None:
    def middle(tier: Tier) -> Decimal:
        of_tier = [offer for offer in clusters if offer.tier is tier and offer.provider in HYPERSCALERS]
        return cents(median(share(offer, modal) for offer in of_tier))

    assert [middle(tier) for tier in TIERS.values()] == [Decimal(each) for each in ("1.38", "0.43", "0.93", "0.48")]


@needs_prices
@pytest.mark.parametrize("gpu", MODELS)
def test_each_row_of_the_table(gpu: str, clusters: tuple[Offer, ...], modal: dict[str, Offer]) -> None:
    (row,) = re.findall(rf"^\| {gpu} \|(.*)\|$", PRICES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    serverless, *cells = [cell.strip() for cell in row.split("|")]
    sides = [
        {"provider": "aws", "tier": Tier.ON_DEMAND},
        {"provider": "aws", "tier": Tier.SPOT, "region": "us-east-1"},
        {"provider": "gcp", "tier": Tier.COMMIT_1Y},
        {"provider": "aws", "tier": Tier.COMMIT_3Y},
    ]
    for cell, wanted in zip(cells[:4], sides, strict=True):
        if cell != "-":
            near(cell, cheapest(clusters, gpu_model=gpu, **wanted), modal)
    if cells[4] != "-":
        provider, cell = cells[4].split(" ", 1)
        sold = [offer for offer in clusters if offer.provider not in HYPERSCALERS]
        near(cell, cheapest(sold, gpu_model=gpu, tier=Tier.ON_DEMAND, provider=provider), modal)
        assert cheapest(sold, gpu_model=gpu, tier=Tier.ON_DEMAND).provider == provider
    bare, whole = (Decimal(number) for number in serverless.split(" / "))
    offer = cheapest(clusters, gpu_model=gpu)
    sold_as = TWINS.get(gpu, gpu)
    assert cents(modal[sold_as].usd_per_hour) == bare
    assert cents(purchase_breakeven(offer, modal[sold_as], DAY).bought_usd) == whole


def near(cell: str, offer: Offer, modal: dict[str, Offer]) -> None:
    """`0.53 -> 0.89/0.65`: the price of a GPU-hour, the share against the GPU alone, against the container."""
    usd, alone, whole = (Decimal(number) for number in re.findall(r"[\d.]+", cell))
    assert offer.usd_per_gpu_hour == pytest.approx(usd, abs=ROUNDED)
    assert share(offer, modal, gpu_only=True) == pytest.approx(alone, abs=ROUNDED)
    assert share(offer, modal) == pytest.approx(whole, abs=ROUNDED)


@needs_prices
def test_the_medians_of_all_rows(clusters: tuple[Offer, ...], modal: dict[str, Offer]) -> None:
    text = PRICES.read_text(encoding="utf-8")
    assert f"Over all {len(clusters)} cluster rows" in text
    for words, tier in TIERS.items():
        (row,) = re.findall(rf"^\| {words} \|(.*)\|$", text, flags=re.MULTILINE)
        hyper, neo, shares = (cell.strip() for cell in row.split("|"))
        in_band = re.findall(r"(\d+)/(\d+)", shares)
        for cell, mine in ((hyper, True), (neo, False)):
            if cell == "-":
                continue
            found = [share(o, modal) for o in clusters if o.tier is tier and (o.provider in HYPERSCALERS) is mine]
            middle, low, high = (Decimal(number) for number in re.findall(r"\d+\.\d+", cell)[:3])
            assert median(found) == pytest.approx(middle, abs=ROUNDED)
            assert (cents(min(found)), cents(max(found))) == (low, high)
            inside, of_all = (int(number) for number in in_band.pop(0))
            assert len(found) == of_all
            assert sum(Decimal("0.40") <= value <= Decimal("0.50") for value in found) == inside
