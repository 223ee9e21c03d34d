"""An exported bill adds up to the ledger and keeps the rules that cost tools check."""

import json
import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.focus import COLUMNS, focus, unknown
from broker.model.money import NS_PER_HOUR, NS_PER_S, Money
from broker.model.offers import Tier
from broker.model.usage import BilledLine, ChargeKind
from broker.testing.store_values import OFFER

DAY_NS = 86_400 * NS_PER_S
# By the specification: columns that are there in every row, and of these those that may be null.
MANDATORY_1_4 = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
]
MANDATORY_1_2 = [*(set(MANDATORY_1_4) - {"HostProviderName", "ServiceProviderName"}), "ProviderName", "PublisherName"]
# By the specification: the values that a column may have, where it lists them.
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "CommitmentDiscountStatus": {"", "Used", "Unused"},
    "ServiceCategory": {
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
        "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration", "Mobile",
        "Multicloud", "Networking", "Security", "Storage", "Web", "Other",
    },
}  # fmt: skip
DECIMALS = (*("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), "ListUnitPrice", "PricingQuantity")
NULLABLE = {"ChargeClass", "BillingAccountName", "ChargeDescription", "HostProviderName", "PricingQuantity"}
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

lines = st.builds(
    BilledLine,
    day_ns=st.integers(0, 40_000).map(lambda day: day * DAY_NS),
    pool=st.just("home"),
    unit_id=st.sampled_from(["n1", "n2"]),
    kind=st.sampled_from(ChargeKind),
    job_id=st.sampled_from([None, "k3f9a2"]),
    job_name=st.text(max_size=8),
    user=st.sampled_from(["", "ann"]),
    tags=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    duration_ns=st.integers(0, 24 * NS_PER_HOUR),
    amount=st.none() | st.integers(0, 10**15).map(Money),
    offer=st.just(OFFER),
)


@given(st.lists(lines, max_size=6))
def test_rows_add_up_to_what_is_known_and_the_rest_is_counted(bill: list[BilledLine]) -> None:
    rows = list(focus(bill, "acme"))
    known = [line.amount for line in bill if line.amount is not None]
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Money.total(known).usd
    assert len(rows) + unknown(bill) == len(bill)


@given(lines.filter(lambda line: line.amount is not None))
def test_each_row_keeps_the_rules(line: BilledLine) -> None:
    (row,) = focus([line], "acme")
    assert tuple(row) == COLUMNS
    for mandatory in (MANDATORY_1_2, MANDATORY_1_4):
        assert set(mandatory) <= set(row)
        assert all(row[column] for column in mandatory if column not in NULLABLE)
    assert len({row[cost] for cost in COSTS}) == 1
    assert all(row[column] in allowed for column, allowed in ALLOWED.items())
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", row[column]) for column in DECIMALS)
    assert re.fullmatch("[A-Z]{3}", row["BillingCurrency"])
    # A quantity has its unit, and the other way round.
    assert all(bool(row[f"{what}Quantity"]) == bool(row[f"{what}Unit"]) for what in ("Consumed", "Pricing"))
    assert not row["CommitmentDiscountStatus"] or row["CommitmentDiscountId"]
    for start, end in (("ChargePeriodStart", "ChargePeriodEnd"), ("BillingPeriodStart", "BillingPeriodEnd")):
        assert TIME.fullmatch(row[start])
        assert row[start] < row[end]
    assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"]
    assert datetime.fromisoformat(row["BillingPeriodEnd"]).day == 1
    assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == pytest.approx(Decimal(row["ListCost"]))
    assert all(isinstance(value, str) for value in json.loads(row["Tags"]).values())
    assert all(column.startswith("x_") for column in set(row) if not re.fullmatch(r"[A-Z][A-Za-z]+", column))


def test_commitments_say_whether_they_were_used() -> None:
    line = BilledLine(
        day_ns=0, pool="home", unit_id="n1", kind=ChargeKind.IDLE, job_id=None, job_name="", user="", tags={},
        duration_ns=NS_PER_HOUR, amount=Money(5), offer=replace(OFFER, tier=Tier.COMMIT_1Y),
    )  # fmt: skip
    (idle,), (used,) = (list(focus([replace(line, kind=kind)], "acme")) for kind in (ChargeKind.IDLE, ChargeKind.JOB))
    assert (idle["CommitmentDiscountStatus"], used["CommitmentDiscountStatus"]) == ("Unused", "Used")
    assert idle["PricingCategory"] == "Committed"


def test_a_user_that_a_spreadsheet_would_run_is_text() -> None:
    line = BilledLine(
        day_ns=0, pool="home", unit_id="n1", kind=ChargeKind.JOB, job_id="a", job_name="a", user="=cmd|'/C calc'!A0",
        tags={}, duration_ns=NS_PER_HOUR, amount=Money(5), offer=OFFER,
    )  # fmt: skip
    (row,) = focus([line], "@SUM(1)")
    assert (row["x_User"], row["BillingAccountId"]) == ("'=cmd|'/C calc'!A0", "'@SUM(1)")
