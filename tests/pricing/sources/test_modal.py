"""Modal's rates through its unmodified client, over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from grpclib import GRPCError, Status
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import Misconfigured, Unreachable
from pricing.catalog_source import CatalogSource
from pricing.live.answer import Answer, Asked, Failure
from pricing.live.plausibility import Judge
from pricing.sources.modal_rates import Modal, offers
from tests.pricing.sources.modal_server import TOKEN, ModalServer, modal_serving

DAY = date(2026, 11, 25)
RATES = {
    "cpu_hour_cost": "0.0473",
    "mem_gib_hour_cost": "0.008",
    "cpu_hour_cost_sandbox": "0.1419",
    "mem_gib_hour_cost_sandbox": "0.024",
    "gpu_hour_cost_t4": "0.59",
    "gpu_hour_cost_a10g": "1.10",
    "gpu_hour_cost_a100_80gb": "2.50",
    "gpu_hour_cost_rtx6000": "3.03",
    "gpu_hour_cost_h100": "3.95",
    "gpu_hour_cost_b300": "7.10",
    "volume_storage_gib_month_cost": "0.09",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModalServer]:
    modal = ModalServer(rates=dict(RATES))
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN[0])
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN[1])
    with modal_serving(modal) as url:
        monkeypatch.setenv("MODAL_SERVER_URL", url)
        yield modal


def answer() -> Answer | Failure:
    (found,) = Modal().answers(Asked(regions=(), day=DAY))
    return found


def test_the_rate_card_makes_the_offers_of_the_catalogue(server: ModalServer) -> None:
    found = answer()
    assert isinstance(found, Answer) and found.refused == ()
    known = {offer.id: offer for offer in CatalogSource().offers()}
    asked = {offer.id: offer for offer in found.offers}
    assert {name for name in asked if name not in known} == {"modal/functions/b300/auto/serverless"}
    for name in asked.keys() & known.keys():
        now, then = asked[name], known[name]
        assert (now.gpu_model, now.gpu_count, now.region) == (then.gpu_model, then.gpu_count, then.region)
        assert now.usd_per_hour == pytest.approx(then.usd_per_hour, rel=Decimal("0.01"))
        assert now.usd_per_cpu_hour == pytest.approx(then.usd_per_cpu_hour, rel=Decimal("0.01"))
    assert len(Judge(known.values(), DAY).judged(found).offers) == len(asked) == 8


def test_a_core_is_two_virtual_cpus(server: ModalServer) -> None:
    found = answer()
    assert isinstance(found, Answer)
    cpu = {offer.product: offer.usd_per_cpu_hour for offer in found.offers if offer.sku == "cpu"}
    assert cpu == {"functions": Decimal("0.02365"), "sandbox": Decimal("0.07095")}


def test_a_rate_that_is_deprecated_is_not_taken(server: ModalServer) -> None:
    server.deprecated["gpu_hour_cost_t4"] = "use another"
    found = answer()
    assert isinstance(found, Answer) and "T4" not in {offer.sku for offer in found.offers}


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (GRPCError(Status.PERMISSION_DENIED, "no"), Misconfigured, "lacks the permission to read"),
        (GRPCError(Status.UNAUTHENTICATED, "token has expired"), Misconfigured, "its token has expired"),
        (GRPCError(Status.RESOURCE_EXHAUSTED, "slow down"), Unreachable, "gave no rates: slow down"),
        (GRPCError(Status.UNIMPLEMENTED, "not here"), Unreachable, "not here"),
    ],
)  # fmt: skip
def test_errors(server: ModalServer, fault: GRPCError, kind: type[Exception], says: str) -> None:
    server.faults = [fault] * 20
    failed = answer()
    assert isinstance(failed, Failure) and isinstance(failed.error, kind) and says in str(failed.error)


def test_a_token_that_is_not_known(server: ModalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "a-secret-of-another")
    failed = answer()
    assert isinstance(failed, Failure) and isinstance(failed.error, Misconfigured)
    assert "a-secret-of-another" not in str(failed.error) and "WorkspaceBillingRates" not in server.calls


def test_an_error_that_passes_is_asked_again(server: ModalServer) -> None:
    server.faults = [GRPCError(Status.UNAVAILABLE, "restarting")] * 2
    assert isinstance(answer(), Answer)


def test_a_rate_that_is_no_number_is_no_answer(server: ModalServer) -> None:
    server.rates["gpu_hour_cost_h100"] = "cheap"
    failed = answer()
    assert isinstance(failed, Failure) and "not of the form that is known" in str(failed.error)


def test_without_rates_of_cpus_no_gpu_has_a_price() -> None:
    found, refused = offers({name: usd for name, usd in RATES.items() if name != "cpu_hour_cost"}, DAY)
    assert [offer.id for offer in found] == ["modal/sandbox/cpu/auto/serverless"]
    assert refused[0].reason == "states no cpu_hour_cost" and len(refused) == 7


@given(st.dictionaries(st.sampled_from([*RATES, "gpu_hour_cost_"]), st.decimals(allow_nan=True) | st.text(max_size=5)))
def test_whatever_is_answered_is_an_offer_or_refused(rates: dict[str, object]) -> None:
    found, refused = offers(rates, DAY)
    gpus = [name for name in rates if name.startswith("gpu_hour_cost_")]
    assert len(found) + len(refused) == len(gpus) + 2
    assert all(offer.usd_per_cpu_hour and offer.usd_per_gib_hour for offer in found)
