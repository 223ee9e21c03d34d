"""`broker.plan`: what the running broker should hold for its own work in the days to come, of each GPU model."""

from __future__ import annotations

from typing import Any

from broker.sdk.submit import client


def plan(gpu: str | None = None, days: float = 14.0, *, max_age_s: float = 0.0) -> dict[str, Any]:
    """What to commit to, to hold and to leave to serverless for the broker's own work in the days to come.

    One plan for all GPU models, or for what ran on one, at the prices of the pools. It takes seconds, unless one will
    do that was made at most `max_age_s` ago. `result` is the document of `broker plan --json`: its `by_model` has a row
    for each GPU model, its `together` all of them. `works` are the jobs by the models that would do for them, `ways`
    what could be bought. Raises `InvalidInput` where less than a day of work has been seen, and `DaemonError` when
    no broker runs.
    """
    return client().own_plan(gpu, days, max_age_s)
