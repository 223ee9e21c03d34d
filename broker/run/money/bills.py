"""Bills from files and providers, held against the ledger of a store; what differs is recorded when it is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.bill_source import BillSource, FetchedBills
from broker.decide.reconcile import EVERY, Agreeing, Taken, covered, gather, reconcile
from broker.model.acting import ACTING, Act
from broker.model.audit import DONE, AuditEntry
from broker.model.bills import BillLine, Reconciliation
from broker.model.errors import InvalidInput, Misconfigured, Problem
from broker.model.money import NS_PER_S
from broker.ports import Store
from broker.run.plugins import BILLS, installed

APPLY: Final = "reconcile.apply"  # as the audit log names it
DATABASE: Final = "database"  # where it came from: nobody asked the broker
_DAY_NS: Final = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be reconciled, and how."""

    files: Sequence[Path] = ()
    form: str | None = None  # name of the reader; None: by what the files look like
    fetch: str | None = None  # name of a provider that is asked instead
    billed: bool = False  # invoiced costs; otherwise with commitments spread over their time
    taken: Taken = EVERY
    complete: bool = False  # what is not on the bill was not billed


def compare(store: Store, wish: Wish) -> Reconciliation:
    """Reads a bill and holds it against the ledger; records nothing.

    Raises `InvalidInput` (a file can't be understood: file, line and field), `Misconfigured`, `Unreachable`,
    `StoreError`.
    """
    with _without_collecting():
        bill = gather(_fetched(wish) if wish.fetch else _read(wish), wish.taken)
        if not bill.lines:
            raise InvalidInput("the bill has no lines in this period")
        since_ns, until_ns = covered(bill, wish.taken.until_ns)
        if wish.complete and wish.taken.since_ns is not None:
            since_ns = wish.taken.since_ns // _DAY_NS * _DAY_NS
        agreeing = Agreeing(bill)
        for day_ns in range(since_ns, until_ns, _DAY_NS):
            agreeing.day(day_ns, store.ledger(day_ns, day_ns + _DAY_NS))
        return reconcile(agreeing.rest(), since_ns, until_ns, complete=wish.complete)


def record(store: Store, found: Reconciliation, user: str, now_ns: int) -> int:
    """Records the corrections, and with them who did so in the audit log; how many were new. Raises `Conflict`."""

    def entry(about: str) -> AuditEntry:
        return AuditEntry(
            at_ns=now_ns, user=user, token_id="", action=APPLY, target=about, origin=DATABASE, outcome=DONE
        )

    token = ACTING.set(Act(entry))
    try:
        return store.correct(found.corrections)
    finally:
        ACTING.reset(token)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Millions of values without cycles: to look for some again and again would take longer than the work."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def readers() -> dict[str, Any]:
    """All bill plugins by name. Raises `Misconfigured`."""
    return {name: plugin.load()() for name, plugin in sorted(installed(BILLS).items())}


def _read(wish: Wish) -> Iterator[BillLine]:
    if not wish.files:
        raise InvalidInput(f"name the files of a bill, or say --fetch with one of {', '.join(_names('fetch'))}")
    sources = {name: reader for name, reader in readers().items() if hasattr(reader, "lines")}
    for file in wish.files:
        source: BillSource = _named(sources, wish.form) if wish.form else _fitting(file, sources)
        yield from source.lines(file, billed=wish.billed)


def _fitting(file: Path, sources: dict[str, Any]) -> BillSource:
    fits: list[BillSource] = [source for source in sources.values() if source.reads(file)]
    if len(fits) != 1:
        said = "is no bill of a known form" if not fits else "could be of several forms"
        message = f"{said}: say which with --format, one of {', '.join(sources)}"
        raise InvalidInput(Problem(file=str(file), message=message))
    return fits[0]


def _fetched(wish: Wish) -> Iterable[BillLine]:
    since_ns, until_ns = wish.taken.since_ns, wish.taken.until_ns
    if wish.files:
        raise InvalidInput("name files, or a provider to ask, not both")
    if since_ns is None or until_ns is None:
        raise InvalidInput(Problem(field="--for", message="say for which days the bill is asked for: 'last month'"))
    sources = {name: reader for name, reader in readers().items() if hasattr(reader, "fetch")}
    source: FetchedBills = _named(sources, wish.fetch or "")
    return source.fetch(since_ns, until_ns, billed=wish.billed)


def _named(sources: dict[str, Any], name: str) -> Any:
    if name not in sources:
        raise Misconfigured(f"there is no bill {name!r}; there are: {', '.join(sources)}")
    return sources[name]


def _names(method: str) -> list[str]:
    return [name for name, reader in readers().items() if hasattr(reader, method)]
