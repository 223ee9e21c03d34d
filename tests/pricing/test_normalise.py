from datetime import date
from decimal import Decimal

import pytest

from broker.model.offers import BillingRule, Tier
from pricing.normalise import normalise
from tests.pricing.offers import listing

MODAL = {
    "provider": "modal",
    "product": "functions",
    "region": "auto (x1.0)",
    "tier": "serverless",
    "min_billing_s": "",
}
GPU = listing(**MODAL, sku="H100", gpu_count="1", vcpus="", memory_gb="", usd_per_hour="3.9492")
CORE = listing(
    **MODAL,
    sku="cpu-core",
    gpu_model="",
    gpu_count="0",
    vcpus="2",
    memory_gb="",
    usd_per_hour="0.04716",
    note="per core",
)
MEMORY = listing(
    **MODAL, sku="memory-gib", gpu_model="", gpu_count="0", vcpus="", memory_gb="1", usd_per_hour="0.007992"
)


def test_a_node() -> None:
    made = normalise([listing(gpu_model="A100-80GB", region="any")])
    (offer,) = made.offers
    assert offer.id == "aws/ec2/p5.48xlarge/any/on_demand"
    assert (offer.gpu_model, offer.gpu_count, offer.cpus, offer.memory_gib) == ("A100-80GB", 8, 192, 2048)
    assert (offer.usd_per_hour, offer.region, offer.tier) == (Decimal("55.04"), "", Tier.ON_DEMAND)
    assert (offer.billing, offer.valid_from) == (BillingRule(granularity_s=1, minimum_s=60), date(2026, 7, 20))
    assert made.left_out == ()


def test_rates_become_part_of_each_offer_of_their_product_by_the_virtual_cpu() -> None:
    made = normalise([GPU, CORE, MEMORY, listing()])
    gpu, node, cpu = made.offers
    assert gpu.id == "modal/functions/h100/auto/serverless"
    assert (gpu.usd_per_cpu_hour, gpu.usd_per_gib_hour) == (Decimal("0.02358"), Decimal("0.007992"))
    assert (node.usd_per_cpu_hour, node.usd_per_gib_hour) == (None, None)
    assert cpu.id == "modal/functions/cpu/auto/serverless"
    assert (cpu.usd_per_hour, cpu.gpu_count) == (0, 0)
    assert (cpu.usd_per_cpu_hour, cpu.usd_per_gib_hour) == (gpu.usd_per_cpu_hour, gpu.usd_per_gib_hour)
    assert cpu.note == "listed: 0.04716 an hour for 2 virtual CPUs; per core"


def test_rates_that_only_a_note_states() -> None:
    stated = listing(
        provider="cerebrium",
        product="serverless",
        tier="serverless",
        note="GPU only; CPU $0.00000655/vCPU-s, memory $0.00000222/GB-s extra",
    )
    gpu, cpu = normalise([stated]).offers
    assert (gpu.usd_per_cpu_hour, gpu.usd_per_gib_hour) == (Decimal("0.02358"), Decimal("0.007992"))
    assert cpu.sku == "cpu"


def test_a_rate_for_cpus_alone_makes_no_offer() -> None:
    (gpu,) = normalise([GPU, CORE]).offers
    assert (gpu.usd_per_cpu_hour, gpu.usd_per_gib_hour) == (None, None)


@pytest.mark.parametrize(
    ("as_of", "since"),
    [
        ("2026-08-20", date(2026, 8, 20)),
        ("2026-04", date(2026, 4, 1)),
        ("2026 (file undated in index)", date(2026, 1, 1)),
        ("2025-06 (page undated)", date(2025, 6, 1)),
        ("undated snapshot (v8 schema; after 2025-08, on-demand prices equal to 2026-07)", date(2025, 9, 1)),
    ],
)
def test_a_price_without_a_day_is_as_old_as_it_can_be(as_of: str, since: date) -> None:
    (offer,) = normalise([listing(as_of=as_of)]).offers
    assert offer.valid_from == since
    assert offer.note.startswith("UNDATED") == (as_of != "2026-08-20")


def test_the_term_of_a_commitment_is_not_the_minimum_of_a_node() -> None:
    (offer,) = normalise([listing(tier="commit_3y", billing_granularity_s="3600", min_billing_s="94608000")]).offers
    assert offer.billing == BillingRule(granularity_s=3600, minimum_s=0)


@pytest.mark.parametrize(
    ("listed", "held", "note"),
    [
        ("0.001", 1, "billed in steps of 0.001 s, held here as 1 s"),
        ("", 1, "granularity not stated, 1 s assumed"),
        ("60", 60, ""),
    ],
)
def test_what_is_held_otherwise_than_listed_is_said(listed: str, held: int, note: str) -> None:
    (offer,) = normalise([listing(billing_granularity_s=listed)]).offers
    assert (offer.billing.granularity_s, offer.note) == (held, note)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"note": "STALE: undated fork snapshot"}, "stale"),
        ({"source": 'a file (stamped "unverified")'}, "unverified"),
        ({"sku": "H100 as-low-as"}, "discounted floor"),
        ({"note": "always-on; public Active discount removed from docs"}, "no longer sold"),
        ({"note": "GPU only (secondary source, rounded)"}, "secondary source"),
        ({"note": "blog measurement, range 1.51-1.61"}, "two regions"),
    ],
)
def test_what_can_not_be_relied_on_is_left_out_with_the_reason(cells: dict[str, str], reason: str) -> None:
    made = normalise([listing(**cells), listing()])
    assert len(made.offers) == 1
    assert [each.listing for each in made.left_out] == [listing(**cells)]
    assert reason in made.left_out[0].reason
