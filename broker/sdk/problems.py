"""Problem details (RFC 9457) → the error that the broker raised."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import httpx

from broker.model import errors

_TYPES: Final[dict[str, type[errors.BrokerError]]] = {
    "unknown-name": errors.UnknownName,
    "invalid-input": errors.InvalidInput,
    "too-large": errors.InvalidInput,
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
}


def raise_problem(response: httpx.Response) -> NoReturn:
    """Raises what a response that is an error means; `BrokerError` where that is nothing we know."""
    body = _body(response)
    kind = str(body.get("type", "")).rpartition(":")[2]
    type_ = _TYPES.get(kind, errors.BrokerError)
    if issubclass(type_, errors.InvalidInput):
        raise type_(*_problems(body))
    raise type_(_detail(body, response))


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _detail(body: dict[str, Any], response: httpx.Response) -> str:
    return str(body.get("detail") or f"the broker answered {response.status_code} {response.reason_phrase}")


def _problems(body: dict[str, Any]) -> list[errors.Problem | str]:
    found = [
        errors.Problem(message=each["message"], field=each["field"], file=each["file"], line=each["line"])
        for each in body.get("problems", ())
    ]
    return [*found] or [str(body.get("detail", ""))]
