"""A GPU model and some days → what the running broker should hold for its own work."""

from __future__ import annotations

from typing import Any

from broker.sdk.submit import client


def plan(gpu: str | None = None, days: float = 14.0, *, max_age_s: float = 0.0) -> dict[str, Any]:
    """What to commit to, to hold and to leave to serverless for the broker's own work in the days to come.

    For the work on one GPU model, by default that which did most, at the prices of the pools. It takes seconds,
    unless one will do that was made at most `max_age_s` ago. `result` is the document of `broker plan --json`, `ways`
    are what could be bought. Raises `InvalidInput` where less than a day of work has been seen, and `DaemonError` when
    no broker runs.
    """
    return client().own_plan(gpu, days, max_age_s)
