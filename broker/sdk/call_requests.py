"""A pickled function and its calls → blobs and a job at the broker, in as few requests as possible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.model import calls
from broker.model.errors import InvalidInput, Problem, UnknownName
from broker.sdk.events import Json
from broker.sdk.flow import CALLS, LARGE_S, Flow, Request, StartCall
from broker.sdk.pickling import PYTHON, PickledFunction
from broker.sdk.transport import Answer

MOST_BYTES: Final = 256 << 20  # most bytes of arguments in one submission
TOGETHER_BYTES: Final = 1 << 16  # arguments up to this size are sent in the same request as the call
_ASK_FIRST: Final = 1 << 20  # from this size on, ask first whether the broker has the blob
_BLOBS: Final = "/v1/blobs/"


def submit_calls(
    document: Mapping[str, Any],
    name: str,
    function: PickledFunction,
    arguments: Sequence[bytes],
    known: set[str],
    *,
    awaited: bool = False,
) -> Flow[Json]:
    """Submits calls of a function: `Submitted`; an array where there is `array` in the document.

    `known` are the hashes of functions that the broker has, which are not sent again; this one is added. `awaited`:
    waiting for the result is the next action. Raises `InvalidInput` for arguments that are too large.
    """
    inputs = calls.joined(arguments)
    _check_size(name, len(inputs))
    body = {**document, "function": {"blob": function.sha256, "name": name, "python": PYTHON}}
    request = _together(body, inputs, awaited) if len(inputs) <= TOGETHER_BYTES else None
    if function.sha256 not in known:
        yield from put_blob(function.sha256, function.data)
        known.add(function.sha256)
    try:
        answer = yield from _sent(request, body, inputs)
    except InvalidInput as error:
        if not any(problem.field.startswith("function.") for problem in error.problems):
            raise
        yield from put_blob(function.sha256, function.data)  # the broker has dropped it meanwhile
        answer = yield from _sent(request, body, inputs)
    found: Json = answer.json()
    return found


def _together(body: Mapping[str, Any], inputs: bytes, awaited: bool) -> Request | StartCall:
    """A call with its arguments in one request."""
    data = json.dumps(body).encode() + b"\n" + inputs
    return StartCall(data) if awaited else Request(method="POST", path=CALLS, body=data)


def _sent(request: Request | StartCall | None, body: Mapping[str, Any], inputs: bytes) -> Flow[Answer]:
    """Sends the calls in one request, or large arguments first as a blob."""
    if request is not None:
        return (yield request)
    digest = hashlib.sha256(inputs).hexdigest()
    yield from put_blob(digest, inputs)
    named = {**body, "function": {**body["function"], "inputs": digest}}
    return (yield Request(method="POST", path="/v1/jobs", body=named))


def put_blob(sha256: str, data: bytes) -> Flow[None]:
    """Stores bytes at the broker under their hash; large ones only if it does not have them."""
    if len(data) >= _ASK_FIRST:
        try:
            yield Request(method="GET", path=_BLOBS + sha256)
        except UnknownName:
            pass
        else:
            return
    yield Request(method="PUT", path=_BLOBS + sha256, body=data, timeout_s=LARGE_S)


def _check_size(name: str, size: int) -> None:
    if size > MOST_BYTES:
        message = (
            f"{name}: its arguments are {size / 2**20:,.0f} MiB pickled, over {MOST_BYTES >> 20} MiB: write them to a "
            "file, name it in file_mounts or put it where the job can read it, and pass its path"
        )
        raise InvalidInput(Problem(field="args", message=message))
