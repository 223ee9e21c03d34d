"""YAML text → a `Tree`: every key with its line, scalars as the text that was written, nothing guessed.

Built from parse events, so that depth, duplicates and the growth by aliases are known before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from broker.model.errors import InvalidInput, Problem
from broker.spec.source import Keys, Place, Plain, Tree, decode

MAX_DEPTH: Final = 32
MAX_NODES: Final = 250_000  # values in all, with aliases counted as often as they are used
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE: Final = "tag:yaml.org,2002:"
_KNOWN_TAGS: Final = frozenset({"!", *(_CORE + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))})
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


def yaml_tree(text: str, file: str, base: Path | None = None) -> Tree:
    """The one document in `text`; an empty text is an empty map.

    Raises `InvalidInput` with file and line for what is no YAML, is no map, has a key twice, or grows without end.
    """
    return _Builder(decode(text.encode("utf-8", "surrogatepass"), file), file).tree(base)


class _Builder:
    def __init__(self, text: str, file: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._file = file
        self._last_line = max(len(text.splitlines()), 1)
        self._places: dict[Keys, Place] = {(): Place(file=file)}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._problems: list[Problem] = []

    def tree(self, base: Path | None) -> Tree:
        try:
            data = self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fail(mark, f"is not YAML: {error.problem or error.context}", error)
        except yaml.YAMLError as error:
            self._fail(None, f"is not YAML: {error}", error)
        if self._problems:
            raise InvalidInput(*self._problems)
        return Tree(data=data, places=self._places, base=base)

    def _document(self) -> dict[str, Any]:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return {}
        first = next(self._events)
        data = self._value(first, (), 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._fail(after.start_mark, "a second document begins here: write one to a file")
        if data is None:
            return {}
        if not isinstance(data, dict):
            self._fail(first.start_mark, f"must be a map of fields (name: value), not {_kind(data)}")
        return data

    def _value(self, event: Any, keys: Keys, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self._fail(event.start_mark, f"is nested deeper than {MAX_DEPTH} levels")
        self._count(1, event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None and event.tag not in _KNOWN_TAGS:
            self._fail(event.start_mark, f"the tag {event.tag} means nothing here: remove it")
        before = self._nodes
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(keys, depth)
        else:
            value = self._map(keys, depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._fail(event.start_mark, f"*{event.anchor} refers to nothing that ends before it")
        value, size = self._anchors[event.anchor]
        self._count(size, event)
        return value

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._fail(event.start_mark, f"holds more than {MAX_NODES:,} values (aliases counted as often as used)")

    def _list(self, keys: Keys, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*keys, len(values))
            self._places[here] = self._at(event.start_mark)
            values.append(self._value(event, here, depth + 1))
        return values

    def _map(self, keys: Keys, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(event.start_mark, "a key must be text")
            key, here = event.value, (*keys, event.value)
            if key == "<<" and event.implicit[0]:
                inherited = {**self._merged(keys, depth), **inherited}
                continue
            if key in values:
                first = self._places[here].line
                self._problems.append(self._problem(event.start_mark, f"is given twice (first in line {first})", here))
            else:
                self._places[here] = self._at(event.start_mark)
            values[key] = self._value(next(self._events), here, depth + 1)
        return {**inherited, **values}

    def _merged(self, keys: Keys, depth: int) -> dict[str, Any]:
        event = next(self._events)
        value = self._value(event, (*keys, "<<"), depth + 1)
        merged: dict[str, Any] = {}
        for part in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(part, dict):
                self._fail(event.start_mark, "<< merges maps only")
            merged |= part
        return merged

    def _at(self, mark: Any) -> Place:
        return Place(file=self._file, line=min(mark.line + 1, self._last_line) if mark else None)

    def _problem(self, mark: Any, message: str, keys: Keys = ()) -> Problem:
        place = self._at(mark)
        return Problem(message=message, field=".".join(map(str, keys)), file=place.file, line=place.line)

    def _fail(self, mark: Any, message: str, cause: Exception | None = None) -> NoReturn:
        raise InvalidInput(*self._problems, self._problem(mark, message)) from cause


def _scalar(event: Any) -> str | None:
    if not event.implicit[0]:
        return str(event.value)
    return None if event.value in _NULLS else Plain(event.value)


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "one piece of text"
