"""The bundled catalogue holds the invariants, and says what its sources say."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from broker.model.offers import Offer, Tier
from pricing import collect
from pricing.catalog_format import write
from pricing.catalog_source import CatalogSource
from pricing.checks import CHECKS, Check, problems
from pricing.normalise import normalise

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pricing" / "catalog"
LISTINGS = ROOT.parent / "shared" / "prices.csv"


@pytest.fixture(scope="module")
def offers() -> tuple[Offer, ...]:
    return tuple(CatalogSource().offers())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_invariant_holds(check: Check, offers: tuple[Offer, ...]) -> None:
    assert list(check(offers)) == []


def test_no_price_is_of_the_future(offers: tuple[Offer, ...]) -> None:
    assert problems(offers, datetime.now(UTC).date()) == []


def test_files_are_as_the_writer_writes_them(offers: tuple[Offer, ...]) -> None:
    """So that a diff shows prices that changed, and nothing else."""
    for path in sorted(FOLDER.glob("*.csv")):
        of_provider = [offer for offer in offers if offer.provider == path.stem]
        assert path.read_text(encoding="utf-8") == write(of_provider), path.name
    assert {path.stem for path in FOLDER.glob("*.csv")} == {offer.provider for offer in offers}


@pytest.mark.parametrize(
    ("offer_id", "usd_per_hour", "as_of"),
    [
        ("aws/ec2/p5.48xlarge/us-east-1/on_demand", "55.04", "2026-07-20"),
        ("aws/ec2/p5.48xlarge/us-east-1/commit_3y", "20.6951", "2026-06-06"),
        ("aws/ec2/p5.48xlarge/us-east-1/spot", "14.246", "2025-09-01"),
        ("aws/ec2/g4dn.xlarge/us-east-1/on_demand", "0.526", "2026-07-20"),
        ("gcp/gce/g2-standard-4/us-central1/commit_1y", "0.445304", "2026-08-20"),
        ("azure/vm/standard_nd96isr_h100_v5/eastus/on_demand", "98.32", "2026-11-09"),
        ("runpod/pods/h100-sxm-secure/any/on_demand", "3.99", "2026-11-09"),
        ("lambda/on-demand-cloud/gpu_8x_h100_sxm5/any/on_demand", "31.92", "2026-09-20"),
        ("modal/functions/h100/auto/serverless", "3.9492", "2026-07-01"),
        ("modal/functions/b200/auto/serverless", "6.2496", "2026-07-01"),
        ("runpod/runpod-serverless-flex/h100-pro/any/serverless", "4.176", "2026-06-08"),
    ],
)
def test_facts(offers: tuple[Offer, ...], offer_id: str, usd_per_hour: str, as_of: str) -> None:
    newest = max((offer for offer in offers if offer.id == offer_id), key=lambda offer: offer.valid_from)
    assert (newest.usd_per_hour, newest.valid_from.isoformat()) == (Decimal(usd_per_hour), as_of)


def test_modal_by_the_virtual_cpu(offers: tuple[Offer, ...]) -> None:
    """$0.0000131 a second for a physical core, which is two; three times that in sandboxes."""
    modal = {offer.id: offer for offer in offers if offer.provider == "modal"}
    functions, sandbox = modal["modal/functions/cpu/auto/serverless"], modal["modal/sandbox/cpu/auto/serverless"]
    assert functions.usd_per_cpu_hour == Decimal("0.0000131") * 3600 / 2
    assert functions.usd_per_gib_hour == Decimal("0.00000222") * 3600
    assert sandbox.usd_per_cpu_hour == pytest.approx(3 * functions.usd_per_cpu_hour, rel=Decimal("0.01"))
    gpus = [offer for offer in modal.values() if offer.gpu_count]
    assert len(gpus) == 10 and {offer.usd_per_cpu_hour for offer in gpus} == {functions.usd_per_cpu_hour}


def test_the_gpus_that_people_rent_are_there_in_every_tier(offers: tuple[Offer, ...]) -> None:
    tiers = {model: {offer.tier for offer in offers if offer.gpu_model == model} for model in ("T4", "L4", "H100")}
    assert tiers["L4"] == tiers["H100"] == set(Tier) - {Tier.OWNED}
    models = Counter(offer.gpu_model for offer in offers)
    assert all(models[model] >= 5 for model in ("T4", "L4", "L40S", "A100-40GB", "A100-80GB", "H100", "H200", "B200"))


@pytest.mark.skipif(not LISTINGS.exists(), reason=f"the price list it was made of is not here: {LISTINGS.name}")
def test_it_is_what_the_price_list_comes_to(offers: tuple[Offer, ...]) -> None:
    made = normalise(collect.listings(LISTINGS))
    assert Counter(offers) == Counter(made.offers)
    assert len(made.left_out) == 26
