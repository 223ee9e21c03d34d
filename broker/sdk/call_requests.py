"""A function and its calls, pickled → blobs and a job of the broker, with as few requests as that takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.model import calls
from broker.model.errors import InvalidInput, Problem, UnknownName
from broker.sdk.events import Json
from broker.sdk.flow import CALLS, LARGE_S, Ask, Called, Flow
from broker.sdk.pickling import PYTHON, PickledFunction
from broker.sdk.transport import Answer

MOST_BYTES: Final = 256 << 20  # of the arguments of calls that are sent together
TOGETHER_BYTES: Final = 1 << 16  # up to here they go with the call
_ASK_FIRST: Final = 1 << 20  # from here on it is asked first whether the broker has it
_BLOBS: Final = "/v1/blobs/"


def sent(
    document: Mapping[str, Any],
    name: str,
    function: PickledFunction,
    arguments: Sequence[bytes],
    known: set[str],
    *,
    awaited: bool = False,
) -> Flow[Json]:
    """Submits calls of a function: `Submitted`; an array where there is `array` in the document.

    `known` are functions that the broker has, which are not sent again. `awaited`: its end is what is asked for next.
    Raises `InvalidInput` for too much.
    """
    inputs = calls.joined(arguments)
    _not_too_much(name, len(inputs))
    body = {**document, "function": {"blob": function.sha256, "name": name, "python": PYTHON}}
    ask = _together(body, inputs, awaited) if len(inputs) <= TOGETHER_BYTES else None
    if function.sha256 not in known:
        yield from put(function.sha256, function.data)
        known.add(function.sha256)
    try:
        answer = yield from _asked(ask, body, inputs)
    except InvalidInput as error:
        if not any(problem.field.startswith("function.") for problem in error.problems):
            raise
        yield from put(function.sha256, function.data)  # the broker has dropped it meanwhile
        answer = yield from _asked(ask, body, inputs)
    found: Json = answer.json()
    return found


def _together(body: Mapping[str, Any], inputs: bytes, awaited: bool) -> Ask | Called:
    """A call with its arguments in one request."""
    data = json.dumps(body).encode() + b"\n" + inputs
    return Called(data) if awaited else Ask(method="POST", path=CALLS, body=data)


def _asked(ask: Ask | Called | None, body: Mapping[str, Any], inputs: bytes) -> Flow[Answer]:
    """In one request, or with what is large sent before."""
    if ask is not None:
        return (yield ask)
    digest = hashlib.sha256(inputs).hexdigest()
    yield from put(digest, inputs)
    named = {**body, "function": {**body["function"], "inputs": digest}}
    return (yield Ask(method="POST", path="/v1/jobs", body=named))


def put(sha256: str, data: bytes) -> Flow[None]:
    """Gives the broker bytes under their hash; large ones only where it has them not."""
    if len(data) >= _ASK_FIRST:
        try:
            yield Ask(method="GET", path=_BLOBS + sha256)
        except UnknownName:
            pass
        else:
            return
    yield Ask(method="PUT", path=_BLOBS + sha256, body=data, timeout_s=LARGE_S)


def _not_too_much(name: str, size: int) -> None:
    if size > MOST_BYTES:
        message = (
            f"{name}: its arguments are {size / 2**20:,.0f} MiB pickled, over {MOST_BYTES >> 20} MiB: write them to a "
            "file, name it in file_mounts or put it where the job can read it, and pass its path"
        )
        raise InvalidInput(Problem(field="args", message=message))
