"""Forecasts and decisions about capacity ↔ rows, which are only ever appended.

Their bodies are written out field by field, so that a change of the values can't change what was stored before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select

from broker.model.foresight import Decision, NodesDecision, Outlook, Proposal, WarmDecision
from broker.model.money import Money
from broker.model.pools import KeepWarm
from broker.run.store.tables import decisions, outlooks


def keep_outlook(connection: Connection, outlook: Outlook) -> None:
    """Appends a forecast."""
    body = {
        "step_s": outlook.step_s,
        "levels": outlook.levels,
        "quantiles": outlook.quantiles,
        "coverage": outlook.coverage,
        "pinball": outlook.pinball,
        "reason": outlook.reason,
    }
    connection.execute(insert(outlooks).values(pool=outlook.pool, at_ns=outlook.at_ns, body=json.dumps(body)))


def find_outlooks(connection: Connection, pool: str, since_ns: int, until_ns: int) -> tuple[Outlook, ...]:
    """Forecasts for a pool made in a time, oldest first."""
    made = outlooks.c.pool == pool, outlooks.c.at_ns >= since_ns, outlooks.c.at_ns < until_ns
    query = select(outlooks).where(*made).order_by(outlooks.c.at_ns, outlooks.c.seq)
    return tuple(_outlook(row) for row in connection.execute(query))


def last_outlook(connection: Connection, pool: str) -> Outlook | None:
    """The newest forecast for a pool."""
    newest = outlooks.c.at_ns.desc(), outlooks.c.seq.desc()
    row = connection.execute(select(outlooks).where(outlooks.c.pool == pool).order_by(*newest).limit(1)).first()
    return _outlook(row) if row else None


def _outlook(row: Any) -> Outlook:
    body = json.loads(row.body)
    return Outlook(
        pool=row.pool,
        at_ns=row.at_ns,
        step_s=body["step_s"],
        levels=tuple(body["levels"]),
        quantiles=tuple(tuple(each) for each in body["quantiles"]),
        coverage=body["coverage"],
        pinball=body["pinball"],
        reason=body["reason"],
    )


def keep_decisions(connection: Connection, made: Sequence[Decision]) -> None:
    """Appends decisions."""
    if made:
        connection.execute(insert(decisions), [_values(decision) for decision in made])


def find_decisions(connection: Connection, since_ns: int, until_ns: int, pool: str | None) -> tuple[Decision, ...]:
    """Decisions made in a time, oldest first."""
    query = select(decisions).where(decisions.c.at_ns >= since_ns, decisions.c.at_ns < until_ns)
    if pool is not None:
        query = query.where(decisions.c.pool == pool)
    return tuple(_decision(row) for row in connection.execute(query.order_by(decisions.c.at_ns, decisions.c.seq)))


def _values(decision: Decision) -> dict[str, Any]:
    kind, body = _body(decision)
    return {"pool": decision.pool, "at_ns": decision.at_ns, "kind": kind, "body": json.dumps(body)}


def _body(decision: Decision) -> tuple[str, dict[str, Any]]:
    if isinstance(decision, NodesDecision):
        numbers: dict[str, Any] = {"up": decision.up, "nodes": decision.nodes}
        return "nodes", numbers | {"applied": decision.applied, "reason": decision.reason}
    if isinstance(decision, WarmDecision):
        settings = {"before": asdict(decision.before), "after": asdict(decision.after)}
        return "warm", settings | {"applied": decision.applied, "reason": decision.reason}
    return "proposal", {
        "offer_id": decision.offer_id,
        "nodes": decision.nodes,
        "usd_per_hour": decision.usd_per_hour,
        "saved": decision.saved.nanodollars,
        "days": decision.days,
        "reason": decision.reason,
    }


def _decision(row: Any) -> Decision:
    body: dict[str, Any] = {"pool": row.pool, "at_ns": row.at_ns, **json.loads(row.body)}
    if row.kind == "nodes":
        return NodesDecision(**body)
    if row.kind == "warm":
        body |= {name: KeepWarm(**body[name]) for name in ("before", "after")}
        return WarmDecision(**body)
    return Proposal(**body | {"saved": Money(body["saved"])})
