"""Values as people write them, each with its place: a tree that still knows file, line or flag of every key.

Readers of YAML, flags and Python make trees; what is wrong in a tree becomes a `Problem` with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from broker.model.errors import InvalidInput, Problem

Keys = tuple[str | int, ...]

MAX_BYTES: Final = 1_000_000  # of one file
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Plain(str):
    """A scalar written without quotes: text until a field asks for something else."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written."""

    file: str = ""
    line: int | None = None
    name: str = ""  # what to call it instead of its dotted path: the flag `--gpus`


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What was written in one place: nested maps, lists and scalars, and where each key stands."""

    data: dict[str, Any]
    places: Mapping[Keys, Place] = field(default_factory=dict)
    base: Path | None = None  # folder from which relative paths are meant; None: there is none

    def place(self, keys: Keys) -> Place:
        """The place of these keys, or of the nearest thing that contains them."""
        for end in range(len(keys), -1, -1):
            if found := self.places.get(keys[:end]):
                return found
        return Place()

    def problem(self, keys: Keys, message: str) -> Problem:
        """A problem with what is written there."""
        place = self.place(keys)
        return Problem(message=message, field=place.name or dotted(keys), file=place.file, line=place.line)


def dotted(keys: Keys) -> str:
    """`resources.any_of[1].accelerators`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def read_text(path: Path) -> str:
    """The text of a file. Raises `InvalidInput` when it can't be read, is no UTF-8, or is over `MAX_BYTES`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(Problem(message=f"can't be read: {error.strerror}", file=str(path))) from error
    return decode(raw, str(path))


def decode(raw: bytes, file: str) -> str:
    """The text of these bytes, a byte order mark aside. Raises `InvalidInput` as `read_text` does."""
    if len(raw) > MAX_BYTES:
        raise InvalidInput(Problem(message=f"is larger than {MAX_BYTES:,} bytes, the most that is read", file=file))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput(Problem(message=f"byte {error.start} is not UTF-8 text", file=file, line=line)) from error
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = "a null byte" if found.group() == "\0" else f"the control character {found.group()!r}"
        raise InvalidInput(Problem(message=f"holds {what}: it is not a text file", file=file, line=line))
    return text


def unfit_text(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Where a value holds text that can be neither stored nor passed to a process."""
    if isinstance(value, str):
        if "\0" in value:
            yield keys, "holds a null byte"
        elif not value.isascii() and _SURROGATE.search(value):
            yield keys, "is not UTF-8 text"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from unfit_text(key, (*keys, str(key)))
            yield from unfit_text(inner, (*keys, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from unfit_text(inner, (*keys, index))
