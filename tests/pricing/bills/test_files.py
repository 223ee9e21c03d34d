"""Bills in the forms that providers give them, and what is wrong in them with file, line and field."""

import csv
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from broker.model.bills import BillLine, LineClass, Measure
from broker.model.errors import InvalidInput
from broker.model.money import NS_PER_HOUR, NS_PER_S
from broker.run.money.bills import readers
from pricing.bills.cells import hours
from pricing.bills.cur import Cur
from pricing.bills.focus import Focus
from pricing.bills.gcp import Gcp
from pricing.bills.modal_report import ModalReport

DAY_NS = 86_400 * NS_PER_S
OCTOBER_NS = 1_790_812_800 * NS_PER_S  # 2026-10-01

FOCUS = {
    "BilledCost": "0", "EffectiveCost": "12.5", "BillingCurrency": "USD", "ChargeCategory": "Usage",
    "ChargePeriodStart": "2026-10-01T00:00:00Z", "ChargePeriodEnd": "2026-10-01T01:00:00Z",
    "ServiceCategory": "Compute", "ServiceName": "Amazon EC2", "ProviderName": "Amazon Web Services",
    "ResourceId": "i-1", "ConsumedQuantity": "60", "ConsumedUnit": "Minutes", "Tags": '{"broker_pool": "gpus"}',
}  # fmt: skip
CUR = {
    "line_item_line_item_type": "Usage", "line_item_usage_start_date": "2026-10-01T00:00:00.000Z",
    "line_item_usage_end_date": "2026-10-01T01:00:00.000Z", "line_item_unblended_cost": "12.5",
    "line_item_currency_code": "USD", "line_item_resource_id": "i-1", "line_item_usage_amount": "1",
    "line_item_usage_type": "USE1-SpotUsage:p5.48xlarge", "line_item_product_code": "AmazonEC2",
    "pricing_unit": "Hrs", "resource_tags": '{"user_broker_pool": "gpus"}', "reservation_effective_cost": "",
    "savings_plan_savings_plan_effective_cost": "4", "savings_plan_total_commitment_to_date": "10",
    "savings_plan_used_commitment": "7",
}  # fmt: skip
GCP = {
    "service": {"description": "Compute Engine"}, "sku": {"description": "Nvidia H100 80GB GPU running in Iowa"},
    "usage_start_time": "2026-10-01 00:00:00 UTC", "usage_end_time": "2026-10-01 01:00:00 UTC",
    "labels": [{"key": "broker_pool", "value": "gpus"}], "resource": {"name": "vm-1", "global_name": "//x/vm-1"},
    "cost": 12.5, "currency": "USD", "currency_conversion_rate": 1,
    "usage": {"amount": 28800, "unit": "seconds", "amount_in_pricing_units": 8, "pricing_unit": "hour"},
    "credits": [{"name": "CUD", "amount": -2.5}], "cost_type": "regular",
}  # fmt: skip
MODAL = {
    "Object ID": "ap-1", "Description": "gpu-broker", "Environment": "main", "Interval Start": "2026-10-01",
    "Resource": "Nvidia H100", "Cost": "12.5", "Tags": '{"broker_pool": "gpus"}',
}  # fmt: skip


def written(file: Path, *rows: dict[str, object]) -> Path:
    """Rows in the form that the name says."""
    if ".json" in file.name:
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in r.items()} for r in rows
        )
        text = out.getvalue()
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def parquet(file: Path, *rows: dict[str, object]) -> Path:
    import pyarrow as arrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(arrow.Table.from_pylist(list(rows)), file)
    return file


EXPECTED = BillLine(
    provider="aws", resource="i-1", pool="gpus", attempt="", started_ns=OCTOBER_NS,
    ended_ns=OCTOBER_NS + NS_PER_HOUR, what=LineClass.USAGE, measure=Measure.UNIT, quantity=Decimal(1),
    cost=Decimal("12.5"), service="AmazonEC2",
)  # fmt: skip


@pytest.mark.parametrize("name", ["bill.csv", "bill.csv.gz", "bill.jsonl", "bill.json.gz"])
def test_each_form_is_found_out_by_what_it_looks_like(tmp_path: Path, name: str) -> None:
    for form, row in {"focus": FOCUS, "cur": CUR, "gcp": GCP, "modal": MODAL}.items():
        if form == "modal" and ".json" in name:
            row = {key.lower().replace(" ", "_"): value for key, value in row.items()}
        file = written(tmp_path / name, row)
        sources = {key: one for key, one in readers().items() if hasattr(one, "reads")}
        assert [key for key, one in sources.items() if one.reads(file)] == [form]
        line = next(iter(sources[form].lines(file)))
        assert (line.pool, line.cost, line.started_ns, line.what) == ("gpus", Decimal("12.5"), OCTOBER_NS, "usage")


def test_a_report_of_aws_has_hours_of_machines(tmp_path: Path) -> None:
    assert list(Cur().lines(written(tmp_path / "a.csv", CUR))) == [EXPECTED]
    first_kind = {
        "lineItem/LineItemType": "Usage", "lineItem/UsageStartDate": "2026-10-01T00:00:00Z",
        "lineItem/UsageEndDate": "2026-10-01T01:00:00Z", "lineItem/UnblendedCost": "12.5",
        "lineItem/ResourceId": "i-1", "lineItem/UsageAmount": "1", "lineItem/UsageType": "BoxUsage:g6.xlarge",
        "lineItem/ProductCode": "AmazonEC2", "pricing/unit": "Hrs", "resourceTags/user:broker_pool": "gpus",
    }  # fmt: skip
    assert list(Cur().lines(written(tmp_path / "b.csv", first_kind))) == [EXPECTED]


def test_parquet_has_types_and_maps(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    row = CUR | {
        "line_item_usage_start_date": datetime(2026, 10, 1, tzinfo=UTC),
        "line_item_usage_end_date": datetime(2026, 10, 1, 1, tzinfo=UTC),
        "line_item_unblended_cost": 12.5,
        "line_item_usage_amount": 1.0,
        "resource_tags": [{"key": "user_broker_pool", "value": "gpus"}],
    }
    file = parquet(tmp_path / "a.parquet", row)
    assert Cur().reads(file)
    assert list(Cur().lines(file)) == [EXPECTED]
    (tmp_path / "b.parquet").write_bytes(file.read_bytes()[:300])
    with pytest.raises(InvalidInput, match=r"b\.parquet.*damaged"):
        Cur().reads(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("kind", "what", "amortised", "invoiced"),
    [
        ("Usage", "usage", "12.5", "12.5"),
        ("SavingsPlanCoveredUsage", "usage", "4", "12.5"),
        ("SavingsPlanNegation", "credit", "0", "12.5"),
        ("SavingsPlanRecurringFee", "other", "3", "12.5"),
        ("SavingsPlanUpfrontFee", "other", "0", "12.5"),
        ("Tax", "tax", "12.5", "12.5"),
        ("Credit", "credit", "12.5", "12.5"),
        ("EdpDiscount", "credit", "12.5", "12.5"),
        ("Fee", "other", "12.5", "12.5"),
    ],
)
def test_commitments_of_aws_are_spread_or_as_invoiced(
    tmp_path: Path, kind: str, what: str, amortised: str, invoiced: str
) -> None:
    file = written(tmp_path / "a.csv", CUR | {"line_item_line_item_type": kind})
    for billed, cost in ((False, amortised), (True, invoiced)):
        (line,) = Cur().lines(file, billed=billed)
        assert (line.what, line.cost) == (what, Decimal(cost))


def test_traffic_and_disks_of_aws_are_not_metered(tmp_path: Path) -> None:
    for usage in ("USE1-DataTransfer-Out-Bytes", "EBS:VolumeUsage.gp3", "USE1-NatGateway-Hours"):
        (line,) = Cur().lines(written(tmp_path / "a.csv", CUR | {"line_item_usage_type": usage}))
        assert (line.what, line.quantity) == (LineClass.OTHER, None)


def test_a_row_of_focus(tmp_path: Path) -> None:
    (line,) = Focus().lines(written(tmp_path / "a.csv", FOCUS))
    assert line == EXPECTED._replace(service="Amazon EC2")
    (invoiced,) = Focus().lines(written(tmp_path / "a.csv", FOCUS), billed=True)
    assert invoiced.cost == 0


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"ChargeCategory": "Tax"}, "tax"),
        ({"ChargeCategory": "Credit"}, "credit"),
        ({"ChargeCategory": "Adjustment"}, "credit"),
        ({"ChargeCategory": "Purchase"}, "other"),
        ({"ServiceCategory": "Storage"}, "other"),
        ({"ConsumedUnit": "GB-Mo"}, "other"),
        ({"ConsumedUnit": ""}, "usage"),
    ],
)
def test_classes_of_focus(tmp_path: Path, changed: dict[str, object], what: str) -> None:
    (line,) = Focus().lines(written(tmp_path / "a.csv", FOCUS | changed))
    assert line.what == what


def test_a_row_of_google_and_its_credits(tmp_path: Path) -> None:
    gpu, credit = Gcp().lines(written(tmp_path / "a.jsonl", GCP))
    assert (gpu.resource, gpu.measure, gpu.quantity, gpu.cost) == ("vm-1", Measure.GPU, Decimal(8), Decimal("12.5"))
    assert (credit.what, credit.cost, credit.resource) == (LineClass.CREDIT, Decimal("-2.5"), "vm-1")
    euros = GCP | {"currency": "EUR", "currency_conversion_rate": 0.8, "credits": []}
    (line,) = Gcp().lines(written(tmp_path / "b.jsonl", euros))
    assert line.cost == Decimal("15.625")
    flat = {
        "service.description": "Compute Engine", "sku.description": "A3 Instance Ram running in Iowa", "cost": "1",
        "usage_start_time": "2026-10-01T00:00:00Z", "usage_end_time": "2026-10-01T01:00:00Z", "currency": "USD",
        "usage.amount_in_pricing_units": "234", "usage.pricing_unit": "gibibyte hour", "credits": "[]", "labels": "[]",
    }  # fmt: skip
    (ram,) = Gcp().lines(written(tmp_path / "c.csv", flat))
    assert (ram.measure, ram.quantity) == (Measure.MEMORY, Decimal(234))


def test_a_report_of_modal(tmp_path: Path) -> None:
    (line,) = ModalReport().lines(written(tmp_path / "a.csv", MODAL))
    assert (line.ended_ns - line.started_ns, line.measure, line.service) == (DAY_NS, Measure.NONE, "gpu-broker")
    hourly = MODAL | {"Interval Start": "2026-10-01T05:00:00+00:00", "Resource": "Volume storage"}
    (line,) = ModalReport().lines(written(tmp_path / "a.csv", hourly))
    assert (line.ended_ns - line.started_ns, line.what) == (NS_PER_HOUR, LineClass.OTHER)


@pytest.mark.parametrize(
    ("source", "row", "said"),
    [
        (Focus(), FOCUS | {"BillingCurrency": "EUR"}, r"a.csv:2: BillingCurrency: is 'EUR'"),
        (Focus(), FOCUS | {"EffectiveCost": "twelve"}, r"a.csv:2: EffectiveCost: 'twelve' is no number"),
        (Focus(), FOCUS | {"EffectiveCost": "NaN"}, r"a.csv:2: EffectiveCost: 'NaN' is no amount"),
        (Focus(), FOCUS | {"ChargePeriodStart": "soon"}, r"a.csv:2: ChargePeriodStart: "),
        (Focus(), FOCUS | {"ChargeCategory": "Gift"}, r"a.csv:2: ChargeCategory: 'gift' is no charge category"),
        (Focus(), FOCUS | {"Tags": "{"}, r"a.csv:2: Tags: "),
        (Cur(), CUR | {"line_item_currency_code": "CNY"}, r"a.csv:2: line_item_currency_code: is 'CNY'"),
        (Cur(), CUR | {"line_item_usage_start_date": ""}, r"a.csv:2: line_item_usage_start_date"),
        (Gcp(), GCP | {"currency": "EUR", "currency_conversion_rate": ""}, r"a.csv:2: .*currency_conversion_rate"),
        (Gcp(), GCP | {"labels": "x"}, r"a.csv:2: "),
        (ModalReport(), MODAL | {"Cost": "-"}, r"a.csv:2: '-' is no number"),
    ],
)
def test_what_can_t_be_understood_is_said_with_its_place(tmp_path: Path, source, row, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        list(source.lines(written(tmp_path / "a.csv", row)))


def test_files_that_are_no_bills(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "half.csv").write_text(",".join(FOCUS) + "\n1,2\n")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(",".join(FOCUS).encode() * 100)[:40])
    (tmp_path / "broken.json").write_text(json.dumps(GCP) + '\n{"a": ')
    with pytest.raises(InvalidInput, match=r"binary: is no text"):
        Focus().reads(tmp_path / "binary")
    with pytest.raises(InvalidInput, match=r"half.csv:2: has 2 columns"):
        list(Focus().lines(tmp_path / "half.csv"))
    with pytest.raises(InvalidInput, match=r"cut.csv.gz: can't be read"):
        Focus().reads(tmp_path / "cut.csv.gz")
    with pytest.raises(InvalidInput, match=r"broken.json:2: is no JSON"):
        list(Gcp().lines(tmp_path / "broken.json"))
    with pytest.raises(InvalidInput, match=r"nowhere: can't be read"):
        Focus().reads(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("Hrs", (Measure.UNIT, Decimal(1))),
        ("Hours", (Measure.UNIT, Decimal(1))),
        ("Seconds", (Measure.UNIT, Decimal(1) / 3600)),
        ("GPU-Hours", (Measure.GPU, Decimal(1))),
        ("vCPU-Hours", (Measure.CPU, Decimal(1))),
        ("gibibyte hour", (Measure.MEMORY, Decimal(1))),
        ("GB-Mo", None),
        ("Requests", None),
        ("", None),
    ],
)
def test_units_of_quantities(unit: str, expected) -> None:
    assert hours(unit) == expected
