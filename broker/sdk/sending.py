"""A function and its calls, pickled → blobs and a job of the broker, with as few requests as that takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.model import calls
from broker.model.errors import InvalidInput, Problem, UnknownName
from broker.sdk.events import Json
from broker.sdk.flow import LARGE_S, Ask, Flow
from broker.sdk.pickling import PYTHON

MOST_BYTES: Final = 256 << 20  # of the arguments of calls that are sent together
_ASK_FIRST: Final = 1 << 20  # from here on it is asked first whether the broker has it
_BLOBS: Final = "/v1/blobs/"


def sent(
    document: Mapping[str, Any], name: str, function: bytes, arguments: Sequence[bytes], known: set[str]
) -> Flow[Json]:
    """Submits calls of a function: `Submitted`; an array where there is `array` in the document.

    `known` are functions that the broker has, which are not sent again. Raises `InvalidInput` for too much.
    """
    blob = hashlib.sha256(function).hexdigest()
    inputs = calls.joined(arguments)
    _not_too_much(name, len(inputs))
    digest = hashlib.sha256(inputs).hexdigest()
    if blob not in known:
        yield from put(blob, function)
        known.add(blob)
    yield from put(digest, inputs)
    call = {"blob": blob, "name": name, "python": PYTHON, "inputs": digest}
    body = {**document, "function": call}
    try:
        answer = yield Ask(method="POST", path="/v1/jobs", body=body)
    except InvalidInput as error:
        if not any(problem.field.startswith("function.") for problem in error.problems):
            raise
        yield from put(blob, function)  # the broker has dropped it meanwhile
        yield from put(digest, inputs)
        answer = yield Ask(method="POST", path="/v1/jobs", body=body)
    found: Json = answer.json()
    return found


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
