"""Modal's billing report through its unmodified client, over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from broker.model.errors import Misconfigured, Unreachable
from broker.model.money import NS_PER_S
from pricing.bills.modal_report import ModalReport
from tests.pricing.sources.modal_server import TOKEN, ModalServer, modal_serving

OCTOBER_NS = 1_790_812_800 * NS_PER_S  # 2026-10-01
DAY_NS = 86_400 * NS_PER_S


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModalServer]:
    modal = ModalServer()
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN[0])
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN[1])
    with modal_serving(modal) as url:
        monkeypatch.setenv("MODAL_SERVER_URL", url)
        yield modal


def item(**resources: str) -> api_pb2.WorkspaceBillingReportItem:
    made = api_pb2.WorkspaceBillingReportItem(
        object_id="ap-1",
        description="gpu-broker",
        environment_name="main",
        cost=str(sum(map(Decimal, resources.values()))),
        tags={"broker_pool": "modal"},
        cost_by_resource=resources,
    )
    made.interval.FromDatetime(datetime(2026, 10, 1, tzinfo=UTC))
    return made


def fetched() -> list:
    return list(ModalReport().fetch(OCTOBER_NS, OCTOBER_NS + DAY_NS))


def test_items_become_a_line_for_each_resource(server: ModalServer) -> None:
    server.bill = [item(**{"Nvidia H100": "3", "Volume": "0.5"}), item()]
    lines = {line.cost: line for line in fetched()}
    gpu, volume, nothing = lines[Decimal(3)], lines[Decimal("0.5")], lines[Decimal(0)]
    assert (gpu.pool, gpu.what.value, gpu.started_ns) == ("modal", "usage", OCTOBER_NS)
    assert (volume.what.value, volume.ended_ns) == ("other", OCTOBER_NS + DAY_NS)
    assert (nothing.pool, nothing.service, nothing.resource) == ("modal", "gpu-broker", "ap-1")
    (asked,) = server.asked
    assert (asked.resolution, list(asked.tag_names)) == ("d", ["*"])
    assert asked.start_timestamp.seconds * NS_PER_S == OCTOBER_NS
    assert asked.end_timestamp.seconds * NS_PER_S == OCTOBER_NS + DAY_NS


@pytest.mark.parametrize(
    ("status", "message", "kind", "said"),
    [
        (Status.PERMISSION_DENIED, "not on this plan", Misconfigured, "Team or Enterprise plan"),
        (Status.UNAUTHENTICATED, "Token has expired", Misconfigured, "its token has expired"),
        (Status.RESOURCE_EXHAUSTED, "slow down", Unreachable, "no billing report: slow down"),
        (Status.INTERNAL, "it broke", Unreachable, "no billing report: it broke"),
    ],
)
def test_refusals_are_told_apart(server: ModalServer, status: Status, message: str, kind: type, said: str) -> None:
    server.faults = [GRPCError(status, message)] * 20
    with pytest.raises(kind, match=said):
        fetched()


def test_an_unknown_token_is_named(server: ModalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-another")
    with pytest.raises(Misconfigured, match="MODAL_TOKEN_SECRET"):
        fetched()


def test_half_a_report_is_none(server: ModalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that breaks after its first items leaves no bill that looks whole."""
    whole = server.answers

    def broken(call: str, metadata: object, request: object) -> Iterator[object]:
        found = whole(call, metadata, request)
        if call == "WorkspaceBillingReport":
            yield found[0]
            raise GRPCError(Status.ABORTED, "the stream broke")
        yield from found

    server.bill = [item(L4="1"), item(L4="2")]
    monkeypatch.setattr(ModalServer, "answers", lambda self, *given: broken(*given))
    with pytest.raises(Unreachable, match="the stream broke"):
        fetched()
