"""Charges in the store, read by themselves ↔ the lives of what was paid, and what the broker reports as spent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import create_engine, make_url, text

from broker.sdk.client import Client
from tests.soak.account import Account
from tests.soak.world import USD_PER_CPU_HOUR, USD_PER_GIB_HOUR, USD_PER_HOUR

S: Final = 1_000_000_000
PER_HOUR_NS: Final = 3_600 * S


@dataclass(frozen=True, slots=True)
class Books:
    """Rows of the store's own tables."""

    charges: Sequence[Mapping[str, Any]]
    units: Sequence[Mapping[str, Any]]
    jobs: Mapping[int, str]
    attempts: Sequence[Mapping[str, Any]]


def read(url: str) -> Books:
    """Reads them past the broker."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)
    with engine.connect() as connection:

        def rows(query: str) -> list[Mapping[str, Any]]:
            return [dict(row) for row in connection.execute(text(query)).mappings()]

        books = Books(
            charges=rows("SELECT * FROM charges"),
            units=rows("SELECT * FROM units"),
            jobs={row["seq"]: row["id"] for row in rows("SELECT seq, id FROM jobs")},
            attempts=rows("SELECT * FROM attempts"),
        )
    engine.dispose()
    return books


def wrong(url: str, account: Account, client: Client) -> Iterator[str]:
    """All that is wrong with the money."""
    books, said = read(url), _report(client)
    while (later := read(url)) != books:  # a node that is idle is charged all the time
        books, said = later, _report(client)
    yield from _unknown(books)
    yield from _ran_for_nothing(books, account)
    yield from _lives(books)
    yield from _twice(books)
    yield from _reported(books, *said)


def _report(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    return client.spend(period="365d", by=["pool", "kind"]), client.spend(period="365d", by=["job"])


def total(books: Books) -> int:
    """Nanodollars in all."""
    return sum(charge["amount"] or 0 for charge in books.charges)


def _unknown(books: Books) -> Iterator[str]:
    for charge in books.charges:
        if charge["amount"] is None:
            yield f"a charge of {charge['unit_id']} has no amount, though every pool has a price"


def _ran_for_nothing(books: Books, account: Account) -> Iterator[str]:
    """Each attempt that ran is charged."""
    charged = {charge["attempt_id"] for charge in books.charges if charge["kind"] == "job"}
    for attempt in sorted(account.runs.keys() - charged):
        yield f"attempt {attempt} ran and is charged nothing"


def _lives(books: Books) -> Iterator[str]:
    """What a node or container cost in all is the price of its life, to the nanodollar."""
    charged: dict[tuple[str, str], int] = defaultdict(int)
    for charge in books.charges:
        charged[charge["pool"], charge["unit_id"]] += charge["amount"] or 0
    for unit in books.units:
        if unit["ended_ns"] is None:
            continue
        cost = per_hour(unit) * billed(unit["ended_ns"] - unit["started_ns"]) / PER_HOUR_NS * S
        found = charged[unit["pool"], unit["unit_id"]]
        if abs(found - cost) >= 1:
            yield f"{unit['pool']} {unit['unit_id']} cost {float(cost):.1f} nanodollars, and {found} are charged"


def per_hour(unit: Mapping[str, Any]) -> Fraction:
    """Dollars."""
    if unit["pool"] != "burst":
        return Fraction(str(USD_PER_HOUR))
    gib = Fraction(unit["memory_bytes"], 1 << 30)
    return Fraction(str(unit["cpus"])) * Fraction(str(USD_PER_CPU_HOUR)) + gib * Fraction(str(USD_PER_GIB_HOUR))


def billed(life_ns: int) -> int:
    """Time that is paid: whole seconds, as `granularity` says."""
    return -(-life_ns // S) * S


def _twice(books: Books) -> Iterator[str]:
    """No moment of a container is charged twice: one attempt at a time runs there."""
    spans = defaultdict(list)
    for charge in books.charges:
        if charge["pool"] == "burst" and charge["kind"] != "rounding":
            spans[charge["unit_id"]].append((charge["started_ns"], charge["ended_ns"]))
    for unit, each in spans.items():
        each.sort()
        for before, after in pairwise(each):
            if after[0] < before[1]:
                yield f"burst {unit}: {before} and {after} are charged for the same moment"


def _reported(books: Books, report: Mapping[str, Any], by_job: Mapping[str, Any]) -> Iterator[str]:
    """Spend reports add up to the charges, in all, by job, and by pool and kind."""
    if nano(report["total"]["total"]) != total(books):
        yield f"{total(books)} nanodollars are charged, and {nano(report['total']['total'])} reported"
    kinds: dict[tuple[str, str], int] = defaultdict(int)
    jobs: dict[str, int] = defaultdict(int)
    for charge in books.charges:
        kinds[charge["pool"], charge["kind"]] += charge["amount"] or 0
        if charge["job_seq"] is not None:
            jobs[books.jobs[charge["job_seq"]]] += charge["amount"] or 0
    told = {(row["group"]["pool"], row["group"]["kind"]): nano(row["total"]) for row in report["rows"]}
    if told != kinds:
        yield f"by pool and kind {told} is reported, and {dict(kinds)} charged"
    for row in by_job["rows"]:
        job = row["group"]["job"]
        if job in jobs and nano(row["total"]) != jobs.pop(job):
            yield f"{job}: {nano(row['total'])} nanodollars are reported, not what is charged"
    if any(jobs.values()):
        yield f"in no report by job: {sorted(job for job, amount in jobs.items() if amount)[:10]}"


def nano(amount: Mapping[str, Any]) -> int:
    """Whole nanodollars of an amount as the API writes it."""
    return int(Decimal(amount["usd"]) * S)
