"""Problem details (RFC 9457) → the error that the broker raised."""

from __future__ import annotations

import json
import os
from typing import Any, Final, NoReturn

from broker.model import errors

_TYPES: Final[dict[str, type[errors.BrokerError]]] = {
    "unknown-name": errors.UnknownName,
    "invalid-input": errors.InvalidInput,
    "too-large": errors.InvalidInput,
    "over-budget": errors.OverBudget,
    "over-quota": errors.OverQuota,
    "conflict": errors.Conflict,
    "no-capacity": errors.NoCapacity,
    "rejected": errors.Rejected,
    "unreachable": errors.Unreachable,
    "misconfigured": errors.Misconfigured,
    "executor-error": errors.ExecutorError,
    "price-missing": errors.PriceMissing,
    "store-error": errors.StoreError,
    "store-full": errors.StoreFull,
    "daemon-error": errors.DaemonError,
    "no-token": errors.DaemonError,
    "too-many-failures": errors.DaemonError,
    "forbidden": errors.Forbidden,
}


def raise_problem(status: int, content: bytes) -> NoReturn:
    """Raises what an answer that is an error means; `BrokerError` where that is nothing we know."""
    body = _body(content)
    kind = str(body.get("type", "")).rpartition(":")[2]
    type_ = _TYPES.get(kind, errors.BrokerError)
    if issubclass(type_, errors.InvalidInput):
        raise type_(*_problems(body))
    if kind == "no-token":
        raise type_(_no_token())
    raise type_(str(body.get("detail") or f"the broker answered with status {status}"))


def _no_token() -> str:
    """Where the token comes from, in place of the header that the broker speaks of."""
    if not os.environ.get("BROKER_TOKEN"):
        return (
            "the broker lets nobody in without a token: set BROKER_TOKEN to yours; "
            "`broker token create NAME` on the broker's machine makes one"
        )
    return (
        "the broker refuses the token in BROKER_TOKEN: it is mistyped, has expired or was revoked; "
        "`broker token list` on the broker's machine shows which, `broker token create NAME` makes another"
    )


def _body(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _problems(body: dict[str, Any]) -> list[errors.Problem | str]:
    found = [
        errors.Problem(message=each["message"], field=each["field"], file=each["file"], line=each["line"])
        for each in body.get("problems", ())
    ]
    return [*found] or [str(body.get("detail", ""))]
