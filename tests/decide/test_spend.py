from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.spend import PERIODS, Period, parse_period, spend_report, to_csv
from broker.model.errors import InvalidInput
from broker.model.money import NS_PER_S, Money
from broker.model.usage import SpendRow

ALWAYS = Period(since_ns=None, until_ns=None)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


NOW_NS = ns("2026-11-23T14:30:00")  # a Monday


def row(*group: str, job: int = 0, overhead: int = 0, unknown: int = 0, predicted: int | None = None) -> SpendRow:
    return SpendRow(
        group=group,
        job=Money(job),
        overhead=Money(overhead),
        unknown=unknown,
        predicted=Money(predicted) if predicted is not None else None,
    )


@pytest.mark.parametrize(
    ("words", "since", "until"),
    [
        ("today", "2026-11-23", "2026-11-24"),
        ("yesterday", "2026-11-22", "2026-11-23"),
        ("this week", "2026-11-23", "2026-11-30"),
        ("last week", "2026-11-16", "2026-11-23"),
        ("this month", "2026-11-01", "2026-12-01"),
        ("Last  Month", "2026-10-01", "2026-11-01"),
        ("last_month", "2026-10-01", "2026-11-01"),
        ("this year", "2026-01-01", "2027-01-01"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("2026", "2026-01-01", "2027-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-11-23", "2026-11-23", "2026-11-24"),
        ("2026-11-01..2026-11-15", "2026-11-01", "2026-11-16"),
        ("2026-10..today", "2026-10-01", "2026-11-24"),
        ("7d", "2026-11-16T14:30:00", "2026-11-23T14:30:00"),
        ("last 24 hours", "2026-11-22T14:30:00", "2026-11-23T14:30:00"),
        ("2w", "2026-11-09T14:30:00", "2026-11-23T14:30:00"),
    ],
)
def test_periods(words: str, since: str, until: str) -> None:
    assert parse_period(words, NOW_NS) == Period(since_ns=ns(since), until_ns=ns(until))


def test_all_has_no_ends() -> None:
    assert parse_period("all", NOW_NS) == ALWAYS


@pytest.mark.parametrize(
    "words", ["", "soon", "2026-13", "2026-02-30", "last", "7m", "0000", "9999-12-31", "-7d", ".."]
)
def test_what_is_no_period_is_refused_with_what_is(words: str) -> None:
    with pytest.raises(InvalidInput, match="is no period") as refused:
        parse_period(words, NOW_NS)
    assert PERIODS in str(refused.value)


@pytest.mark.parametrize("words", ["2026-11-15..2026-11-01", "today..yesterday"])
def test_a_period_that_ends_before_it_begins_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="ends before it begins"):
        parse_period(words, NOW_NS)


@given(st.dates(datetime(1971, 1, 1, tzinfo=UTC).date(), datetime(2200, 1, 1, tzinfo=UTC).date()))
def test_last_and_this_follow_each_other_and_hold_today(today: object) -> None:
    now_ns = ns(f"{today}T12:00:00")
    for unit in ("week", "month", "year"):
        last, this = parse_period(f"last {unit}", now_ns), parse_period(f"this {unit}", now_ns)
        assert last.until_ns == this.since_ns
        assert this.since_ns is not None and this.until_ns is not None
        assert this.since_ns <= now_ns < this.until_ns


def test_a_total_is_the_sum_of_the_rows_and_knows_what_it_does_not_know() -> None:
    rows = (row("a", job=5, overhead=1, predicted=7), row("b", unknown=2), row("c", job=90, predicted=1))
    report = spend_report(rows, ("job",), ALWAYS)
    assert report.total == row(job=95, overhead=1, unknown=2, predicted=8)
    assert [one.group for one in report.rows] == [("c",), ("a",), ("b",)]
    assert spend_report((row("a", job=1),), ("job",), ALWAYS).total.predicted is None


def test_days_stay_in_their_order() -> None:
    rows = (row("2026-11-01", job=1), row("2026-11-02", job=2))
    assert spend_report(rows, ("day",), ALWAYS).rows == rows


def test_csv_is_exact_and_unknown_is_not_zero() -> None:
    rows = (row("a", "x", job=1, overhead=1_500_000_000, predicted=0), row("b", "y", unknown=1), row("c", "z"))
    report = spend_report(rows, ("job", "pool"), ALWAYS)
    assert list(to_csv(report)) == [
        ("job", "pool", "job_usd", "overhead_usd", "total_usd", "unknown_charges", "predicted_usd", "corrected_usd"),
        ("a", "x", "0.000000001", "1.500000000", "1.500000001", "0", "0.000000000", "0.000000000"),
        ("b", "y", "", "", "", "1", "", "0.000000000"),
        ("c", "z", "0.000000000", "0.000000000", "0.000000000", "0", "", "0.000000000"),
    ]


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(1)", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_run_is_text_in_csv(text: str) -> None:
    _, found = to_csv(spend_report([row(text, job=1)], ("tag:team",), ALWAYS))
    assert found[0] == f"'{text}"


@pytest.mark.parametrize("text", ["", "red", "-5", "+1.5", "a=b", "'x"])
def test_other_text_is_as_it_is_in_csv(text: str) -> None:
    _, found = to_csv(spend_report([row(text, job=1)], ("tag:team",), ALWAYS))
    assert found[0] == text
