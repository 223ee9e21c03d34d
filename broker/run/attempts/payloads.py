"""A function and one of its calls, each pickled on its own → the payload that executors are given, pickled once.

Nothing of theirs is unpickled here: the payload has them as bytes, and says that they are to be unpickled there.
"""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any, Final

from broker.model import calls
from broker.model.errors import InvalidInput, Problem
from broker.model.jobs import FunctionCall
from broker.run.attempts.blobs import Blobs

_PROTOCOL: Final = 5  # of the Pythons that can run the broker


def payload(call: FunctionCall, index: int, blobs: Blobs) -> bytes:
    """The payload of one task. Raises `UnknownName` where a part of it is gone."""
    function = blobs.read(call.blob)
    if call.inputs is None:
        return function
    return pickle.dumps(_Call(function, _arguments(call.inputs, index, blobs)), protocol=_PROTOCOL)


def check_inputs(inputs: str, tasks: int, blobs: Blobs) -> None:
    """Raises `InvalidInput` where a file of arguments is none, or is not one for each task; `UnknownName` without."""
    size = blobs.size(inputs)
    try:
        number = calls.count(blobs.read(inputs, 0, calls.WORD))
        if number != tasks:
            raise ValueError(f"has arguments for {number} calls, but there are {tasks}: one for each task")
        calls.checked(blobs.read(inputs, 0, calls.head_size(number)), size)
    except ValueError as error:
        raise InvalidInput(Problem(field="function.inputs", message=str(error))) from None


def _arguments(inputs: str, index: int, blobs: Blobs) -> bytes:
    first = calls.head_size(calls.count(blobs.read(inputs, 0, calls.WORD)))
    begin, end = calls.span(blobs.read(inputs, *calls.ends_at(index)), index)
    return blobs.read(inputs, first + begin, first + end)


class _Call:
    """Is unpickled as (function, args, kwargs)."""

    def __init__(self, function: bytes, arguments: bytes) -> None:
        self._function, self._arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return operator.add, ((_Later(self._function),), _Later(self._arguments))


class _Later:
    """Is unpickled as what these bytes are a pickle of."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return pickle.loads, (self._pickled,)
