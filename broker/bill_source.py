"""The ports to bills: what reads them from files, and what asks providers for them (the group `broker.bills`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from broker.model.bills import BillLine


class BillSource(Protocol):
    """Reads one kind of bill from files."""

    name: str

    def reads(self, file: Path) -> bool:
        """Whether the file looks like one of its kind, by its name and its beginning. Raises `InvalidInput`."""
        ...

    def lines(self, file: Path, *, billed: bool = False) -> Iterable[BillLine]:
        """Its lines, in any order, one after another and not all in memory.

        Costs are what usage cost with commitments spread over the time that they are for; with `billed`, what is on
        the invoice. Raises `InvalidInput` with file, line and field for what can't be understood: nothing is skipped.
        """
        ...


class FetchedBills(Protocol):
    """Asks a provider for a bill. The group `broker.bills` has both kinds."""

    name: str

    def fetch(self, since_ns: int, until_ns: int, *, billed: bool = False) -> Iterable[BillLine]:
        """The lines of whole days from `since_ns` on and before `until_ns`; `billed` as of `BillSource.lines`.

        Raises `Misconfigured` (a library or a permission is missing: says which) and `Unreachable`.
        """
        ...
