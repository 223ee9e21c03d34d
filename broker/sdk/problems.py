"""Problem details (RFC 9457) → the error that the broker raised."""

from __future__ import annotations

import json
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
    raise type_(str(body.get("detail") or f"the broker answered with status {status}"))


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
