"""Modal's billing report as its client gives it; its service is not asked here."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from broker.model.money import NS_PER_S
from pricing.bills.modal_report import ModalReport

OCTOBER_NS = 1_790_812_800 * NS_PER_S  # 2026-10-01
DAY_NS = 86_400 * NS_PER_S


def test_items_become_a_line_for_each_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    import modal
    from modal.types import BillingReportItem

    asked: list[dict[str, object]] = []

    class Billing:
        def report(self, **question: object) -> list[BillingReportItem]:
            asked.append(question)
            return [
                BillingReportItem(
                    object_id="ap-1",
                    description="gpu-broker",
                    environment_name="main",
                    interval_start=datetime(2026, 10, 1, tzinfo=UTC),
                    cost=Decimal("3.5"),
                    cost_by_resource={"Nvidia H100": Decimal(3), "Volume": Decimal("0.5")},
                    tags={"broker_pool": "modal"},
                )
            ]

    class Workspace:
        billing = Billing()

    monkeypatch.setattr(modal.Workspace, "from_context", staticmethod(Workspace), raising=False)
    gpu, volume = ModalReport().fetch(OCTOBER_NS, OCTOBER_NS + DAY_NS)
    assert (gpu.pool, gpu.cost, gpu.what.value, gpu.started_ns) == ("modal", Decimal(3), "usage", OCTOBER_NS)
    assert (volume.cost, volume.what.value, volume.ended_ns) == (Decimal("0.5"), "other", OCTOBER_NS + DAY_NS)
    assert asked[0]["tag_names"] == ["*"]
    assert (asked[0]["start"], asked[0]["resolution"]) == (datetime(2026, 10, 1, tzinfo=UTC), "d")
