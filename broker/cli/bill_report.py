"""A reconciliation → lines for people, and a JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from broker.cli import render
from broker.cli.render import Column, Row
from broker.model.bills import Cause, Comparison, Reconciliation, Standing
from broker.model.money import NS_PER_S, Money
from broker.model.times import day_of

_SERVICES = 5  # of things that no pool has, named at most


def show(found: Reconciliation, recorded: int | None, limit: int) -> None:
    """Prints it: each pool, why it differs, the largest differences, and what was or would be recorded."""
    last = day_of(found.until_ns - 1).isoformat() if found.until_ns > found.since_ns else "no whole day"
    print(f"bill      {found.lines:,} lines, {found.billed}; compared from {day_of(found.since_ns)} to {last}")
    if found.later:
        print(
            f"later     {found.later:,} lines are of days that the bill may not cover to their end; --for says it does"
        )
    if found.elsewhere:
        named = "; ".join(f"{each.service or each.provider} {each.amount}" for each in found.elsewhere[:_SERVICES])
        more = f"; {len(found.elsewhere) - _SERVICES} more" if len(found.elsewhere) > _SERVICES else ""
        total = Money.total(each.amount for each in found.elsewhere)
        print(f"elsewhere {total} of no pool: {named}{more}")
    render.table(_POOLS, _pools(found))
    if causes := _causes(found.comparisons):
        print("why       " + ", ".join(f"{cause} {amount}" for cause, amount in causes.items()))
    differing = sorted((each for each in found.comparisons if _worth(each)), key=_size)
    if differing and limit:
        render.table(_DIFFERENCES, [_row(each) for each in differing[:limit]], title="largest differences")
        if len(differing) > limit:
            print(f"and {len(differing) - limit:,} more (--limit)")
    print(_outcome(found, recorded))


def _outcome(found: Reconciliation, recorded: int | None) -> str:
    number, amount = len(found.corrections), found.to_record
    if not number:
        return "The ledger has what was billed: nothing to record."
    if recorded is None:
        return f"{number:,} corrections, {amount} together, are not recorded: do so with --apply."
    return f"{recorded:,} corrections recorded, {amount} together."


def as_document(found: Reconciliation, recorded: int | None) -> dict[str, Any]:
    """All of it, with exact amounts in dollars as text."""
    return {
        "since": day_of(found.since_ns).isoformat(),
        "until": day_of(found.until_ns).isoformat(),
        "lines": found.lines,
        "lines_later": found.later,
        "billed_usd": _usd(found.billed),
        "pools": [{name: _plain(value) for name, value in row.items()} for row in _pools(found)],
        "causes": {cause: _usd(amount) for cause, amount in _causes(found.comparisons).items()},
        "comparisons": [_document(each) for each in found.comparisons],
        "elsewhere": [
            {"provider": each.provider, "service": each.service, "lines": each.lines, "usd": _usd(each.amount)}
            for each in found.elsewhere
        ],
        "corrections": len(found.corrections),
        "to_record_usd": _usd(found.to_record),
        "recorded": recorded,
    }


def _document(each: Comparison) -> dict[str, Any]:
    return {
        "pool": each.pool,
        "unit": each.unit_id or None,
        "attempt": each.attempt_id,
        "since": day_of(each.since_ns).isoformat(),
        "until": day_of(each.until_ns).isoformat(),
        "standing": each.standing.value,
        "metered_usd": _usd(each.metered),
        "billed_usd": _usd(each.billed),
        "difference_usd": _usd(each.difference),
        "corrected_usd": _usd(each.corrected),
        "causes": {cause.value: _usd(amount) for cause, amount in each.causes.items()},
        "services": list(each.services),
    }


def _pools(found: Reconciliation) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for same in found.agreed:
        known = {"matched": same.number, "metered": same.amount, "billed": same.amount}
        rows[same.pool] = {"pool": same.pool, **_EMPTY, **known}
    for each in found.comparisons:
        row = rows.setdefault(each.pool, {"pool": each.pool, **_EMPTY})
        row[_COUNTS[each.standing]] += 1
        row["metered"] += each.metered
        if each.standing is not Standing.NOT_BILLED:
            row["billed"] += each.billed
            row["difference"] += each.difference
        else:
            row["not_on_bill"] += each.metered
    return [rows[pool] for pool in sorted(rows)]


_COUNTS = {Standing.MATCHED: "matched", Standing.NOT_BILLED: "not_billed", Standing.NOT_METERED: "not_metered"}
_EMPTY = {
    **dict.fromkeys(_COUNTS.values(), 0),
    **dict.fromkeys(("metered", "not_on_bill", "billed", "difference"), Money()),
}


def _causes(every: Iterable[Comparison]) -> dict[str, Money]:
    found = dict.fromkeys(Cause, Money())
    for each in every:
        for cause, amount in each.causes.items():
            found[cause] += amount
    return {cause.value: amount for cause, amount in found.items() if amount}


def _worth(each: Comparison) -> bool:
    return bool(each.difference)


def _size(each: Comparison) -> tuple[int, str, str, int]:
    return -abs(each.difference.nanodollars), each.pool, each.unit_id, each.since_ns


def _row(each: Comparison) -> Row:
    days = (each.until_ns - each.since_ns) // (86_400 * NS_PER_S)
    why = ", ".join(f"{cause} {amount}" for cause, amount in each.causes.items())
    return {
        "day": day_of(each.since_ns).isoformat() + (f" +{days - 1} d" if days > 1 else ""),
        "pool": each.pool,
        "of": each.unit_id or each.attempt_id or "(pool)",
        "metered": each.metered,
        "billed": each.billed if each.standing is not Standing.NOT_BILLED else "not billed",
        "difference": each.difference,
        "why": why if each.standing is Standing.MATCHED else f"{each.standing.value}{': ' + why if why else ''}",
    }


def _usd(amount: Money) -> str:
    return f"{amount.usd:.9f}"


def _plain(value: Any) -> Any:
    return _usd(value) if isinstance(value, Money) else value


def _cell(name: str, row: Row) -> str:
    return str(row[name])


_POOLS = [
    Column(head=name.replace("_", " "), cell=partial(_cell, name), right=name != "pool", spare=spare)
    for name, spare in (
        ("pool", 0),
        ("matched", 0),
        ("not_billed", 0),
        ("not_metered", 0),
        ("metered", 0),
        ("not_on_bill", 1),
        ("billed", 0),
        ("difference", 0),
    )
]
_DIFFERENCES = [
    Column(head=name, cell=partial(_cell, name), right=name in ("metered", "billed", "difference"), wrap=name == "why")
    for name in ("day", "pool", "of", "metered", "billed", "difference", "why")
]
