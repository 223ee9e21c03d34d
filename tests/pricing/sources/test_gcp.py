"""Google Cloud through its unmodified clients: the catalogue over gRPC, machine types and tokens over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import Misconfigured, Unreachable
from broker.model.offers import Tier
from pricing.catalog_source import CatalogSource
from pricing.live.answer import Answer, Asked, Failure
from pricing.live.plausibility import Judge
from pricing.sources.gcp import calls
from pricing.sources.gcp.machines import Machine
from pricing.sources.gcp.offers import offers
from pricing.sources.gcp.provider import Gcp
from pricing.sources.gcp.skus import CORE, GPU, RAM, SLICE, SSD, Listed, Part, what
from tests.pricing.sources.gcp_server import PROJECT, GcpServer, gcp_serving, machine_type, sku
from tests.pricing.sources.listening import Response

DAY = date(2026, 11, 25)
SPOT_L4 = "Nvidia L4 GPU attached to Spot Preemptible VMs running in Iowa"


def g2() -> list[Any]:
    """What a G2 machine is made of, in all tiers."""
    listed = [
        ("G2 Instance Core running in Iowa", "0.024988", "OnDemand"),
        ("G2 Instance Ram running in Iowa", "0.002927", "OnDemand"),
        ("Nvidia L4 GPU running in Iowa", "0.56004", "OnDemand"),
        ("Spot Preemptible G2 Instance Core running in Iowa", "0.014988", "Preemptible"),
        ("Spot Preemptible G2 Instance Ram running in Iowa", "0.001756", "Preemptible"),
        (SPOT_L4, "0.336", "Preemptible"),
    ]
    for years, usage, factor in ((1, "Commit1Yr", "0.63"), (3, "Commit3Yr", "0.45")):
        term = f"for {years} Year{'s' if years > 1 else ''}"
        for thing, usd in (
            ("G2 Cpu in", "0.024988"),
            ("G2 Ram in", "0.002927"),
            ("Nvidia L4 GPU running in", "0.56004"),
        ):
            asked = f"{Decimal(usd) * Decimal(factor):.9f}"
            listed.append((f"Commitment v1: {thing} Iowa {term}", asked, usage))
    return [sku(description, usd, usage_type=usage) for description, usd, usage in listed]


def a3() -> list[Any]:
    return [
        sku("A3 Instance Core running in Americas", "0.029274"),
        sku("A3 Instance Ram running in Americas", "0.002548"),
        sku("Nvidia H100 80GB GPU running in Americas", "9.796550569"),
        sku("SSD backed Local Storage", "0.08", unit="GiBy.mo"),
    ]


def others() -> list[Any]:
    """What is sold under similar names, and is none of ours."""
    listed = (
        "C3 Sole Tenancy Instance Ram running in Americas",
        "N2 Custom Instance Core running in Americas",
        "Reserved G2 Instance Core in Iowa",
        "Nvidia H100 80GB GPU attached to DWS Defined Duration VMs running in Americas",
        "Nvidia L4 Virtual Workstation GPU running in Iowa",
        "Licensing Fee for Windows Server 2019 Datacenter Edition (CPU cost)",
        "Network Internet Egress from Israel to South America",
        "Commitment v1: Cpu in Americas for 1 Year",
    )
    return [sku(description, "77") for description in listed]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(calls, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(calls, "WITHIN_S", 60.0)


@pytest.fixture
def server() -> GcpServer:
    machines = [
        machine_type("g2-standard-4", 4, 16, "nvidia-l4", 1),
        machine_type("a3-highgpu-8g", 208, 1872, "nvidia-h100-80gb", 8, disks=16),
        machine_type("n2-standard-4", 4, 16),
    ]
    return GcpServer(
        skus=[*others(), *g2(), *a3(), sku("N2 Instance Core running in Iowa", "0.03")],
        machine_types={"us-central1-a": machines[:2], "us-central1-b": machines, "europe-west4-a": machines[:1]},
    )


@pytest.fixture
def gcp(server: GcpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcp]:
    for name in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    # Beside the calls, the client asks a service of Google's own in the background: there is none here.
    asks = "google.oauth2.service_account.Credentials._is_regional_access_boundary_lookup_required"
    monkeypatch.setattr(asks, lambda _: False)
    with gcp_serving(server, tmp_path) as (clients, account):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        yield Gcp(clients)


def answers(gcp: Gcp, *regions: str, **changed: Any) -> list[Answer | Failure]:
    return list(gcp.answers(Asked(regions=regions or ("us-central1",), day=DAY, **changed)))


def answer(gcp: Gcp, **changed: Any) -> Answer:
    (found,) = answers(gcp, **changed)
    assert isinstance(found, Answer), found
    return found


def failure(gcp: Gcp) -> Failure:
    (found,) = answers(gcp)
    assert isinstance(found, Failure), found
    return found


def test_a_machine_costs_the_sum_of_its_parts(gcp: Gcp, server: GcpServer) -> None:
    found = {(offer.sku, offer.tier): offer for offer in answer(gcp).offers}
    assert {key: offer.usd_per_hour for key, offer in found.items() if key[0] != "a3-highgpu-8g"} == {
        ("g2-standard-4", Tier.ON_DEMAND): Decimal("0.706824"),
        ("g2-standard-4", Tier.SPOT): Decimal("0.424048"),
        ("g2-standard-4", Tier.COMMIT_1Y): Decimal("0.44529912"),
        ("g2-standard-4", Tier.COMMIT_3Y): Decimal("0.3180708"),
    }
    h100 = found["a3-highgpu-8g", Tier.ON_DEMAND]
    disk = round(Decimal("0.08") / 730, 12)
    parts = 208 * Decimal("0.029274") + 1872 * Decimal("0.002548") + 8 * Decimal("9.796550569") + 6000 * disk
    assert h100.usd_per_hour == parts
    assert (h100.gpu_model, h100.gpu_count, h100.cpus, h100.memory_gib) == ("H100", 8, 208, 1872)
    assert "208 × $0.029274 core (A3) + 1872 × $0.002548 GiB of memory (A3) + 8 × $9.796550569 GPU (H100)" in h100.note
    assert server.pages == 4


def test_offers_are_those_of_the_catalogue(gcp: Gcp) -> None:
    known = {offer.id: offer for offer in CatalogSource().offers()}
    found = answer(gcp)
    for offer in found.offers:
        then = known[offer.id]
        assert (offer.gpu_model, offer.gpu_count, offer.cpus, offer.memory_gib, offer.billing.minimum_s) == (
            then.gpu_model,
            then.gpu_count,
            then.cpus,
            then.memory_gib,
            0 if offer.tier.is_commitment else then.billing.minimum_s,
        )
        assert offer.usd_per_hour == pytest.approx(then.usd_per_hour, rel=Decimal("0.02"))
    assert len(Judge(known.values(), DAY).judged(found).offers) == 5


def test_a_region_without_prices_has_machines_left_out(gcp: Gcp) -> None:
    iowa, eemshaven = answers(gcp, "us-central1", "europe-west4")
    assert isinstance(iowa, Answer) and isinstance(eemshaven, Answer)
    assert iowa.offers and not eemshaven.offers
    assert [each.reason for each in eemshaven.left_out] == ["has no price of its core (G2) on_demand"]


def test_machines_without_gpus_by_name(gcp: Gcp, server: GcpServer) -> None:
    server.skus.append(sku("N2 Instance Ram running in Iowa", "0.004"))
    found = {offer.sku: offer for offer in answer(gcp, skus=("n2-standard-4",)).offers}
    assert found["n2-standard-4"].usd_per_hour == Decimal("0.184")
    assert server.filters[0] == 'name eq "a[234]-.*|g[24]-.*|n2-standard-4"'
    (failed,) = answers(gcp, skus=('x" or name ne "',))
    assert isinstance(failed, Failure) and "is no name of a machine type" in str(failed.error)


def test_a_gpu_that_is_not_known_is_left_out(gcp: Gcp, server: GcpServer) -> None:
    server.machine_types = {"us-central1-a": [machine_type("a4-new-8g", 8, 8, "nvidia-x1", 8)]}
    assert [each.reason for each in answer(gcp).left_out] == ["has GPUs that are not known here: nvidia-x1"]


def test_b200_is_priced_by_the_slice(gcp: Gcp, server: GcpServer) -> None:
    """And its spot price says so in the description alone."""
    server.machine_types = {"us-central1-a": [machine_type("a4-highgpu-8g", 224, 3968, "nvidia-b200", 8, disks=32)]}
    server.skus = [
        sku("A4 Nvidia B200 (1 gpu slice) running in Americas", "16.11"),
        sku("Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Americas", "4.95"),
    ]
    found = {offer.tier: offer.usd_per_hour for offer in answer(gcp).offers}
    assert found == {Tier.ON_DEMAND: Decimal("128.88"), Tier.SPOT: Decimal("39.6")}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"currency": "EUR"}, "is in 'EUR', not in USD"),
        ({"currency": ""}, "states no currency"),
        ({"unit": "mo"}, "is priced by 'mo', where h is expected"),
        ({"usd": "0.0"}, "nothing is free"),
    ],
)
def test_a_part_that_has_no_price_takes_the_machine_with_it(
    gcp: Gcp, server: GcpServer, changed: dict[str, str], reason: str
) -> None:
    wrong = {"usd": "0.56004", **changed}
    server.skus = [each for each in server.skus if each.description != "Nvidia L4 GPU running in Iowa"]
    server.skus.append(sku("Nvidia L4 GPU running in Iowa", wrong.pop("usd"), **wrong))
    found = answer(gcp)
    assert ("g2-standard-4", Tier.ON_DEMAND) not in {(offer.sku, offer.tier) for offer in found.offers}
    assert ("g2-standard-4", Tier.SPOT) in {(offer.sku, offer.tier) for offer in found.offers}
    (refused,) = found.refused
    assert reason in refused.reason and "Nvidia L4 GPU running in Iowa" in refused.thing


def test_two_prices_of_a_part_are_told_and_none_is_guessed(gcp: Gcp, server: GcpServer) -> None:
    server.skus.append(sku("Nvidia L4 GPU running in Iowa", "0.6", sku_id="other"))
    found = answer(gcp)
    (refused,) = found.refused
    assert "its GPU (L4) has several prices: $0.56004" in refused.reason and "$0.6 (other)" in refused.reason
    assert refused.thing == "g2-standard-4 us-central1 on_demand"


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, Misconfigured, "gcloud services enable cloudbilling.googleapis.com"),
        (grpc.StatusCode.UNAUTHENTICATED, Misconfigured, "the credentials are not valid"),
        (grpc.StatusCode.UNAVAILABLE, Unreachable, "ask again later"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Unreachable, "ask again later"),
        (grpc.StatusCode.INVALID_ARGUMENT, Misconfigured, "refuses the question"),
    ],
)
def test_errors_of_the_catalogue(
    gcp: Gcp,
    server: GcpServer,
    monkeypatch: pytest.MonkeyPatch,
    code: grpc.StatusCode,
    kind: type[Exception],
    says: str,
) -> None:
    if kind is Unreachable:  # what is asked again until the time is over; the others are told at once
        monkeypatch.setattr(calls, "WITHIN_S", 0.3)
    server.catalogue_faults = [code] * 99
    failed = failure(gcp)
    assert isinstance(failed.error, kind) and says in str(failed.error)


def test_errors_that_pass_are_tried_again(gcp: Gcp, server: GcpServer) -> None:
    server.catalogue_faults = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    server.http_faults = [Response(status=503, body=b"{}"), Response(status=429, body=b"{}")]
    assert len(answer(gcp).offers) == 5


def test_a_missing_permission_is_named(gcp: Gcp, server: GcpServer) -> None:
    told = {"error": {"code": 403, "message": "Required 'compute.machineTypes.list' permission"}}
    server.http_faults = [Response(status=403, body=json.dumps(told).encode())]
    assert "this needs the permission compute.machineTypes.list" in str(failure(gcp).error)


def test_a_key_that_was_revoked(gcp: Gcp, server: GcpServer) -> None:
    server.token_faults = [Response(status=400, body=b'{"error": "invalid_grant", "error_description": "no"}')] * 9
    failed = failure(gcp)
    assert isinstance(failed.error, Misconfigured) and "have expired or are not valid" in str(failed.error)
    assert "PRIVATE KEY" not in str(failed.error)


def test_no_credentials(gcp: Gcp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert "gcloud auth application-default login" in str(failure(gcp).error)


def test_a_project_is_needed(gcp: Gcp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = json.loads((tmp_path / "account.json").read_text())
    (tmp_path / "account.json").write_text(json.dumps({**account, "project_id": ""}))
    assert "say one with --project" in str(failure(gcp).error)
    assert len(answer(gcp, project=PROJECT).offers) == 5


@pytest.mark.parametrize(
    ("description", "part", "tier"),
    [
        ("A3Plus Instance Core running in Americas", Part(CORE, "A3PLUS"), Tier.ON_DEMAND),
        ("N2D AMD Instance Ram running in Tokyo", Part(RAM, "N2D"), Tier.ON_DEMAND),
        ("T2A Arm Instance Core running in Iowa", Part(CORE, "T2A"), Tier.ON_DEMAND),
        ("N1 Predefined Instance Core running in Iowa", Part(CORE, "N1"), Tier.ON_DEMAND),
        ("Nvidia Tesla A100 80GB GPU running in Americas", Part(GPU, "A100-80GB"), Tier.ON_DEMAND),
        ("Nvidia Tesla A100 GPU attached to Spot Preemptible VMs running in Iowa", Part(GPU, "A100-40GB"), Tier.SPOT),
        ("H200 141GB GPU running in Belgium", Part(GPU, "H200"), Tier.ON_DEMAND),
        ("RTX 6000 96GB running in Oregon", Part(GPU, "RTX-PRO-6000"), Tier.ON_DEMAND),
        ("Commitment v1: A2 Cpu in Americas for 1 Year", Part(CORE, "A2"), Tier.COMMIT_1Y),
        ("Commitment v1: Nvidia H100 80GB GPU running in Iowa for 3 Years", Part(GPU, "H100"), Tier.COMMIT_3Y),
        ("Commitment v1: A4 Nvidia B200 (1 gpu slice) in Iowa for 3 Years", Part(SLICE, "B200"), Tier.COMMIT_3Y),
        ("Commitment v1: Local SSD in Iowa for 1 Year", Part(SSD), Tier.COMMIT_1Y),
        ("SSD backed Local Storage attached to Spot Preemptible VMs", Part(SSD), Tier.SPOT),
        ("SSD backed Local Storage in Tel Aviv", Part(SSD), Tier.ON_DEMAND),
    ],
)
def test_what_a_description_means(description: str, part: Part, tier: Tier) -> None:
    assert what(description, "OnDemand") == (part, tier)
    if tier is Tier.ON_DEMAND:
        assert what(description, "Preemptible") == (part, Tier.SPOT)


@pytest.mark.parametrize("other", others(), ids=lambda each: each.description)
def test_what_is_none_of_ours(other: Any) -> None:
    assert what(other.description, other.category.usage_type) is None


@given(st.text(), st.sampled_from(["OnDemand", "Preemptible", "Commit1Yr", ""]))
def test_any_description_can_be_read(description: str, usage: str) -> None:
    what(description, usage)


amounts = st.decimals(min_value="0.0001", max_value="10", places=6)


@given(core=amounts, ram=amounts, gpu=amounts, count=st.sampled_from([1, 2, 8]))
def test_every_part_counts_exactly(core: Decimal, ram: Decimal, gpu: Decimal, count: int) -> None:
    machine = Machine(
        sku="g2-standard-4", region="r", cpus=4, memory_gib=16, gpu_model="L4", gpu_count=count, disk_gib=0, series="G2"
    )
    listed = {Part(CORE, "G2"): core, Part(RAM, "G2"): ram, Part(GPU, "L4"): gpu}
    prices = {("r", Tier.SPOT, part): [Listed(usd=usd, sku="s")] for part, usd in listed.items()}
    ((offer,), refused, left_out) = offers([machine], prices, DAY)
    assert (offer.usd_per_hour, refused, left_out) == (4 * core + 16 * ram + count * gpu, [], [])
    prices.popitem()
    assert offers([machine], prices, DAY)[0] == []
