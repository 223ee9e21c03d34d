"""`broker.spend`: what was spent in a period, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broker.sdk.submit import client


def spend(period: str = "30d", by: Sequence[str] = ("pool",), **only: Any) -> list[dict[str, Any]]:
    """What the running broker has spent: a row for each group, in dollars.

    Columns of `by`: job, user, name, pool, kind, day, tag:KEY. `only` narrows it: job, user, pool, tag (`"KEY=VALUE"`),
    since, until. None is what is not known: an amount without a price, what was predicted where nothing was;
    `unknown` counts charges without a price. Raises `InvalidInput`, and `DaemonError` when no broker runs.
    """
    rows = client().spend(period=period, by=list(by), **only)["rows"]
    return [
        {
            **row["group"],
            "job_usd": _usd(row["job"]),
            "overhead_usd": _usd(row["overhead"]),
            "usd": _usd(row["total"]),
            "predicted_usd": _usd(row["predicted"]),
            "unknown": row["unknown"],
        }
        for row in rows
    ]


def _usd(amount: dict[str, Any] | None) -> float | None:
    return None if amount is None else float(amount["usd"])
