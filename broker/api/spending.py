"""Spend reports as the API shows them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from broker.api.amounts import money, money_or_none, time_or_none
from broker.api.schemas import Money
from broker.decide.spend import SpendReport
from broker.model.usage import SpendRow


class SpendRowView(BaseModel):
    """One line of a spend report."""

    group: dict[str, str] = Field(description="Value of each column asked for.", examples=[{"pool": "ray"}])
    job: Money | None = Field(description="Execution of attempts. Null, as the next two: nothing has a known price.")
    overhead: Money | None = Field(description="Boot, idle, cold start, idle tail, heads, rounding, unmetered.")
    total: Money | None
    corrected: Money = Field(description="Of the total: what providers' bills have added, or taken.")
    unknown: int = Field(description="Charges without a known price, which are in no amount.")
    predicted: Money | None = Field(description="What placements had expected for the same jobs.")


class SpendView(BaseModel):
    """What was spent in a period: rows, and their sum."""

    by: list[str]
    since: datetime | None = Field(description="Null: from the beginning.")
    until: datetime | None = Field(description="Null: until now.")
    rows: list[SpendRowView]
    total: SpendRowView


def spend(report: SpendReport) -> SpendView:
    """A spend report."""
    return SpendView(
        by=list(report.by),
        since=time_or_none(report.period.since_ns),
        until=time_or_none(report.period.until_ns),
        rows=[_row(row, report.by) for row in report.rows],
        total=_row(report.total, ()),
    )


def _row(row: SpendRow, by: tuple[str, ...]) -> SpendRowView:
    known = bool(row.total) or not row.unknown
    return SpendRowView(
        group=dict(zip(by, row.group, strict=True)),
        job=money(row.job) if known else None,
        overhead=money(row.overhead) if known else None,
        total=money(row.total) if known else None,
        corrected=money(row.corrected),
        unknown=row.unknown,
        predicted=money_or_none(row.predicted),
    )
