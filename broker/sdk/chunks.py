"""Chunks: calls that one job makes one after the other → a function that makes them, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from broker.model.errors import InvalidInput, Problem
from broker.sdk.pickling import name_of

Arguments: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any]]


def chunks(calls: Iterable[Arguments], size: int) -> Iterator[tuple[Arguments, ...]]:
    """Calls, so many together; the last may be fewer. Raises `InvalidInput` for no such number."""
    if size < 1:
        raise InvalidInput(
            Problem(field="chunksize", message=f"is how many calls one job makes, 1 or more, not {size}")
        )
    rest = iter(calls)
    return iter(lambda: tuple(islice(rest, size)), ())


def repeats(document: Mapping[str, Any]) -> int:
    """How often a call that raised is repeated, by the `retry` field of its function."""
    retry = document.get("retry", {})
    return int(retry["max_attempts"]) - 1 if "error" in retry.get("on_events", ()) else 0


def one_by_one(call: Callable[..., Any], repeats: int) -> Callable[..., list[bytes]]:
    """A function that makes calls, one after the other, and returns the pickled outcome of each, as a job of its own
    has it.

    It is sent as it is written here, to where no broker is installed. What raises is repeated there, and keeps no other
    from its turn.
    """

    def each(*calls: Any) -> list[bytes]:
        import traceback

        import cloudpickle

        def outcome(args: Any, kwargs: Any) -> bytes:
            for left in range(repeats, -1, -1):
                try:
                    return bytes(cloudpickle.dumps(("value", call(*args, **kwargs))))
                except Exception as error:
                    traceback.print_exc()
                    if not left:
                        return raised(error, traceback.format_exc())
            raise AssertionError("it is made at least once")

        def raised(error: Exception, text: str) -> bytes:
            try:
                return bytes(cloudpickle.dumps(("error", error, text)))
            except Exception as unpicklable:
                instead = TypeError(f"what the function gave can't be pickled: {unpicklable}")
                return bytes(cloudpickle.dumps(("error", instead, text)))

        return [outcome(*arguments) for arguments in calls]

    each.__module__ = getattr(call, "__module__", None) or each.__module__  # whose code goes along
    each.__qualname__ = name_of(call)
    return each
