"""Python calls → payloads that a pool can run, and what they returned or raised, back again."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle

from broker.model.errors import InvalidInput, Problem

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def packed(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """A payload of this call. Raises `InvalidInput` for what can't be pickled.

    The package that the function is from goes along where it is your own code; what is installed is imported there.
    """
    return _pickled(function, (function, tuple(args), dict(kwargs)), "and its arguments can't be pickled")


@dataclass(frozen=True, slots=True)
class PickledFunction:
    """A function alone, as it is sent, once."""

    data: bytes
    sha256: str


def pickled_function(function: Callable[..., Any]) -> PickledFunction:
    """A function alone, as `packed` has it."""
    data = _pickled(function, function, "can't be pickled")
    return PickledFunction(data, hashlib.sha256(data).hexdigest())


def pickled_arguments(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """The arguments of one of its calls. Raises `InvalidInput` for what can't be pickled."""
    return _pickled(function, (tuple(args), dict(kwargs)), "is called with what can't be pickled")


def _pickled(function: Callable[..., Any], value: Any, wrong: str) -> bytes:
    try:
        with _own_code(function):
            payload: bytes = cloudpickle.dumps(value)
    except Exception as error:
        message = f"{name_of(function)} {wrong}: {error}; make what it needs inside it"
        raise InvalidInput(Problem(field="function", message=message)) from error
    return payload


def unpacked(result: bytes) -> Any:
    """What a call returned; what it raised is raised, with where it was raised as a note."""
    kind, *content = cloudpickle.loads(result)
    if kind == "value":
        return content[0]
    error, text = content
    error.add_note(f"raised in the job:\n{text}")
    raise error


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


@contextmanager
def _own_code(function: Callable[..., Any]) -> Iterator[None]:
    """Pickles a function's own package by value, as nothing that is not installed can be imported elsewhere."""
    top = sys.modules.get((getattr(function, "__module__", None) or "").partition(".")[0])
    if top is None or top.__name__ == "__main__" or _installed(top):
        yield
        return
    cloudpickle.register_pickle_by_value(top)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(top)


def _installed(module: Any) -> bool:
    """Whether it comes with Python or from a package that requirements can name."""
    places = [module.__file__] if getattr(module, "__file__", None) else list(getattr(module, "__path__", ()))
    return all(any(Path(place).is_relative_to(folder) for folder in _library()) for place in places)


@cache
def _library() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
