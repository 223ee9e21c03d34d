"""Placement ↔ JSON as the store keeps it: written out field by field, with a version."""

from __future__ import annotations

import json
from typing import Any, Final

from broker.model.errors import StoreError
from broker.model.money import Money
from broker.model.placement import CostLine, Duration, Placement, Quote, Refusal, Verdict
from broker.model.resources import Resources

VERSION: Final = 1


def dump_placement(placement: Placement) -> str:
    """The stored form. The job's id and the time are columns of their own."""
    body = {
        "v": VERSION,
        "verdict": placement.verdict.value,
        "chosen": _quote(placement.chosen) if placement.chosen else None,
        "others": [_quote(quote) for quote in placement.others],
        "refusals": [_refusal(refusal) for refusal in placement.refusals],
        "reason": placement.reason,
        "flip": placement.flip,
        "decide_again_ns": placement.decide_again_ns,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def load_placement(text: str, *, job_id: str, at_ns: int) -> Placement:
    """The decision that was stored. Raises StoreError for a version that this broker does not know."""
    body = json.loads(text)
    if body["v"] != VERSION:
        raise StoreError(f"a stored placement has version {body['v']}, this broker reads {VERSION}: upgrade the broker")
    return Placement(
        job_id=job_id,
        at_ns=at_ns,
        verdict=Verdict(body["verdict"]),
        chosen=_load_quote(body["chosen"]) if body["chosen"] else None,
        others=tuple(_load_quote(quote) for quote in body["others"]),
        refusals=tuple(_load_refusal(refusal) for refusal in body["refusals"]),
        reason=body["reason"],
        flip=body["flip"],
        decide_again_ns=body["decide_again_ns"],
    )


def _money(amount: Money | None) -> int | None:
    return amount.nanodollars if amount is not None else None


def _load_money(nanodollars: int | None) -> Money | None:
    return Money(nanodollars) if nanodollars is not None else None


def _quote(quote: Quote) -> dict[str, Any]:
    need, duration = quote.resources, quote.duration
    return {
        "pool": quote.pool,
        "resources": {
            "cpus": need.cpus,
            "memory_bytes": need.memory_bytes,
            "gpus": need.gpus,
            "gpu_model": need.gpu_model,
            "disk_bytes": need.disk_bytes,
        },
        "start_in_s": quote.start_in_s,
        "duration": {
            "p50_s": duration.p50_s,
            "p90_s": duration.p90_s,
            "source": duration.source,
            "runs": duration.runs,
        },
        "lines": [{"what": x.what, "amount": x.amount.nanodollars, "sunk": x.sunk} for x in quote.lines],
        "marginal": _money(quote.marginal),
        "full": _money(quote.full),
        "p90_full": _money(quote.p90_full),
        "affordable_s": quote.affordable_s,
        "offer_ids": list(quote.offer_ids),
        "available_now": quote.available_now,
        "emulated": quote.emulated,
        "warnings": list(quote.warnings),
    }


def _load_quote(body: dict[str, Any]) -> Quote:
    return Quote(
        pool=body["pool"],
        resources=Resources(**body["resources"]),
        start_in_s=body["start_in_s"],
        duration=Duration(**body["duration"]),
        lines=tuple(CostLine(what=x["what"], amount=Money(x["amount"]), sunk=x["sunk"]) for x in body["lines"]),
        marginal=_load_money(body["marginal"]),
        full=_load_money(body["full"]),
        p90_full=_load_money(body["p90_full"]),
        affordable_s=body.get("affordable_s"),
        offer_ids=tuple(body["offer_ids"]),
        available_now=body["available_now"],
        emulated=body["emulated"],
        warnings=tuple(body["warnings"]),
    )


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {
        "pool": refusal.pool,
        "constraint": refusal.constraint,
        "message": refusal.message,
        "have": refusal.have,
        "need": refusal.need,
        "permanent": refusal.permanent,
    }


def _load_refusal(body: dict[str, Any]) -> Refusal:
    return Refusal(**body)
