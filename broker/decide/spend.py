"""What people ask for ("last month") → a period; rows of spend → a report whose total is the sum of its rows.

Days, weeks (from Monday), months and years are those of UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from broker.model.errors import InvalidInput
from broker.model.money import NS_PER_HOUR, Money
from broker.model.times import begin_of, bounded, day_of
from broker.model.usage import SpendRow

PERIODS: Final = (
    "today, yesterday, this or last week, month or year, 24h, 7d, 4w, "
    "2026, 2026-11, 2026-11-23, 2026-11-01..2026-11-15, all"
)
_ONE: Final = timedelta(days=1)
_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24}
_ROLLING: Final = re.compile(r"(?:last )?(\d{1,5}) ?(h|d|w)(?:ours?|ays?|eeks?)?")
_NAMED: Final = re.compile(r"(this|last) (week|month|year)")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_DATED: Final = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time, [since, until), in nanoseconds since the epoch; None where it is open."""

    since_ns: int | None
    until_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendReport:
    """What was spent in a period: rows, and their sum."""

    by: tuple[str, ...]  # the columns that tell rows apart
    period: Period
    rows: tuple[SpendRow, ...]  # by day: in its order; otherwise the largest first
    total: SpendRow  # of all rows; `group` is empty


def parse_period(words: str, now_ns: int) -> Period:
    """The period that is meant. Raises InvalidInput with what can be said instead."""
    said = " ".join(words.lower().replace("_", " ").split())
    today = day_of(now_ns)
    if said == "all":
        return Period(since_ns=None, until_ns=None)
    if match := _ROLLING.fullmatch(said):
        return Period(since_ns=bounded(now_ns - int(match[1]) * _HOURS[match[2]] * NS_PER_HOUR), until_ns=now_ns)
    first, _, last = said.partition("..")
    try:
        since, until = _days(first, today)
        if last:
            until = _days(last, today)[1]
        period = Period(since_ns=bounded(begin_of(since)), until_ns=bounded(begin_of(until)))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{words!r} is no period: say one of {PERIODS}") from error
    if since >= until:
        raise InvalidInput(f"the period {words!r} ends before it begins")
    return period


def this_period(unit: str, now_ns: int) -> tuple[int, int]:
    """Begin and end of the day, week or month of a moment."""
    today = day_of(now_ns)
    begin = today if unit == "day" else _begin(today, unit)
    return begin_of(begin), begin_of(_next(begin, unit))


def _days(said: str, today: date) -> tuple[date, date]:
    """First day, and the day after the last. Raises ValueError."""
    if said in ("today", "yesterday"):
        first = today if said == "today" else today - _ONE
        return first, first + _ONE
    if match := _NAMED.fullmatch(said):
        begun = _begin(today, match[2])
        return (begun, _next(begun, match[2])) if match[1] == "this" else (_begin(begun - _ONE, match[2]), begun)
    if match := _DATED.fullmatch(said):
        first = date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
        return first, _next(first, "day" if match[3] else "month" if match[2] else "year")
    raise ValueError(said)


def _begin(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day.replace(month=1, day=1)


def _next(first: date, unit: str) -> date:
    # The longest unit of each kind, from its first day, lands in the one after it.
    longest = {"day": 1, "week": 7, "month": 31, "year": 366}[unit]
    after = first + timedelta(days=longest)
    return after if unit in ("day", "week") else _begin(after, unit)


def spend_report(rows: Sequence[SpendRow], by: tuple[str, ...], period: Period) -> SpendReport:
    """Rows of a store, ordered for people, with their total."""
    in_order = rows if "day" in by else sorted(rows, key=lambda row: (-row.total.nanodollars, row.group))
    return SpendReport(by=by, period=period, rows=tuple(in_order), total=_sum(rows))


def _sum(rows: Iterable[SpendRow]) -> SpendRow:
    every = list(rows)
    predicted = [row.predicted for row in every if row.predicted is not None]
    return SpendRow(
        group=(),
        job=Money.total(row.job for row in every),
        overhead=Money.total(row.overhead for row in every),
        unknown=sum(row.unknown for row in every),
        corrected=Money.total(row.corrected for row in every),
        predicted=Money.total(predicted) if predicted else None,
    )


def to_csv(report: SpendReport) -> Iterator[tuple[str, ...]]:
    """A header and the rows, in exact dollars. A cost of which nothing is known is empty, not zero."""
    yield (*report.by, "job_usd", "overhead_usd", "total_usd", "unknown_charges", "predicted_usd", "corrected_usd")
    for row in report.rows:
        known = bool(row.total) or not row.unknown
        amounts = (row.job, row.overhead, row.total) if known else (None, None, None)
        yield (*map(cell, row.group), *map(_usd, amounts), str(row.unknown), _usd(row.predicted), _usd(row.corrected))


def cell(text: str) -> str:
    """A user's or a tag's text: what a spreadsheet would take for a formula, and run, is text there as well."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _usd(amount: Money | None) -> str:
    return f"{amount.usd:.9f}" if amount is not None else ""
