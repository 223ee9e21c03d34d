"""Modal's bill: `modal billing report --show-resources --tag-names '*'` as CSV or JSON, or asked for → lines.

Modal bills apps by the hour or the day, not containers; a line says what an app cost, not how long it ran. The name of
the app is the line's service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from broker.model.bills import BillLine, LineClass, Measure
from broker.model.money import NS_PER_HOUR, NS_PER_S
from pricing.bills.cells import ATTEMPT_TAG, POOL_TAG, amount, moment, tags
from pricing.bills.table import opened
from pricing.sources.modal_calls import of_workspace

_MUST: Final = ("object_id", "description", "interval_start", "cost")
_NOT_METERED: Final = ("volume", "disk", "storage", "egress", "network", "image")
_PLANS: Final = "reports are for members of workspaces on the Team or Enterprise plan"
_DATE: Final = 10  # characters of an interval's start where it is a day


class ModalReport:
    """Reads Modal's billing reports, and asks Modal for them."""

    name = "modal"

    def reads(self, file: Path) -> bool:
        """Whether the columns of the report are there."""
        with opened(file) as table:
            return set(_MUST) <= {_key(name) for name in table.columns}

    def lines(self, file: Path, *, billed: bool = False) -> Iterator[BillLine]:
        """Its lines; the report knows one cost, whatever `billed` says. Raises `InvalidInput`."""
        with opened(file) as table:
            for number, record in table.records:
                row = {_key(name): value for name, value in record.items()}
                try:
                    yield _line(row, row.get("resource") or "")
                except KeyError as error:
                    raise table.wrong(number, str(error.args[0]), "is missing") from None
                except ValueError as error:
                    raise table.wrong(number, "", str(error)) from None

    def fetch(self, since_ns: int, until_ns: int, *, billed: bool = False) -> Iterator[BillLine]:
        """Asks Modal, with the credentials that its client has. Raises `Misconfigured`, `Unreachable`."""
        start, end = (datetime.fromtimestamp(ns // NS_PER_S, UTC) for ns in (since_ns, until_ns))

        async def report(workspace: Any) -> list[Any]:
            asked = {"start": start, "end": end, "resolution": "d", "tag_names": ["*"]}
            return list(await workspace.billing.report.aio(**asked))

        yield from _items(of_workspace("billing report", report, _PLANS))


def _items(items: Iterable[Any]) -> Iterator[BillLine]:
    for item in items:
        row = {
            "object_id": item.object_id,
            "description": item.description,
            "interval_start": item.interval_start.date().isoformat(),
            "tags": item.tags,
        }
        for resource, cost in (item.cost_by_resource or {"": item.cost}).items():
            yield _line(row | {"cost": cost}, resource)


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _line(row: Mapping[str, Any], resource: str) -> BillLine:
    labels = tags(row.get("tags"))
    started_ns = moment(row["interval_start"])
    lasts_ns = NS_PER_HOUR * (24 if len(str(row["interval_start"])) == _DATE else 1)
    metered = not resource.lower().startswith(_NOT_METERED)
    return BillLine(
        provider="modal",
        resource=row["object_id"] or "",
        pool=labels.get(POOL_TAG, ""),
        attempt=labels.get(ATTEMPT_TAG, ""),
        started_ns=started_ns,
        ended_ns=started_ns + lasts_ns,
        what=LineClass.USAGE if metered else LineClass.OTHER,
        measure=Measure.NONE,
        quantity=None,
        cost=amount(row["cost"]),
        service=row["description"] or "",
    )
