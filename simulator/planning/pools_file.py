"""A YAML file of pools → its model, or all that is wrong with it, each with line, field and the nearest name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.reader import ReaderError

from broker.model.errors import InvalidInput, Problem
from simulator.planning.document import ClassPart, LimitPart, Match, PoolPart, PoolsFile

Keys = tuple[str | int, ...]
NO_LINES: Mapping[Keys, int] = MappingProxyType({})
WORDS = MappingProxyType(
    {
        "missing": "is required",
        "extra_forbidden": "unknown field",
        "too_short": "name at least one",
        "model_type": "must be a map of fields",
        "dict_type": "must be a map",
        "tuple_type": "must be a list",
        "literal_error": "must be {expected}",
    }
)
PARTS: MappingProxyType[str, type[BaseModel]] = MappingProxyType(
    {"pools": PoolPart, "classes": ClassPart, "limits": LimitPart}
)


def read_pools(file: Path) -> PoolsFile:
    """Raises `InvalidInput` with all that is wrong."""
    name, text = str(file), _text(file)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line, why = _not_yaml(text, error)
        raise InvalidInput(Problem(file=name, line=line, message=f"is not YAML: {why}")) from None
    return checked_pools(data, name, dict(_lines(node, ())))


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(Problem(file=str(file), message=str(error.strerror or error))) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} is not UTF-8 text"
        raise InvalidInput(Problem(file=str(file), line=line, message=message)) from None


def _not_yaml(text: str, error: yaml.YAMLError) -> tuple[int | None, str]:
    """The line where YAML ends to be YAML, and why, in words."""
    if isinstance(error, ReaderError):
        return text.count("\n", 0, error.position) + 1, f"it holds the character {chr(error.character)!r}"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        why = ", ".join(filter(None, (error.context, error.problem)))
        return (None if mark is None else mark.line + 1), why
    return None, str(error)


def checked_pools(data: Any, name: str, lines: Mapping[Keys, int] = NO_LINES) -> PoolsFile:
    """The model of what such a file says; `lines` are its keys'. Raises `InvalidInput` with all that is wrong."""
    if not isinstance(data, dict) or not data.get("pools"):
        raise InvalidInput(Problem(file=name, field="pools", message="name at least one pool"))
    try:
        return PoolsFile.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(*(_problem(name, each, lines) for each in error.errors(include_url=False))) from None


def wrong(file: str, field: str, message: str) -> InvalidInput:
    """What is wrong with a value that its model could not see."""
    return InvalidInput(Problem(file=file, field=field, message=message))


def _problem(file: str, found: Any, lines: Mapping[Keys, int]) -> Problem:
    keys = tuple(key for key in found["loc"] if key not in ("[key]", "Price", "constrained-float"))
    keys = tuple(key for key in keys if not str(key).startswith(("function-", "float", "int")))
    text = WORDS.get(found["type"], found["msg"][:1].lower() + found["msg"][1:])
    message = text.format(expected=found.get("ctx", {}).get("expected", ""))
    if found["type"] == "extra_forbidden":
        near = get_close_matches(str(keys[-1]), _names(keys[:-1]), 1)
        message += f" (did you mean {near[0]!r}?)" if near else f"; there are {', '.join(_names(keys[:-1]))}"
    elif found["type"] not in ("missing", "too_short"):
        message += f", not {found['input']!r}"
    line = next((lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in lines), None)
    return Problem(file=file, line=line, field=".".join(map(str, keys)), message=message)


def _names(keys: Keys) -> list[str]:
    """Fields of the map at some keys."""
    if not keys:
        return list(PoolsFile.model_fields)
    part = Match if keys[-1] == "match" else PARTS.get(str(keys[0]), PoolsFile)
    return list(part.model_fields)


def _lines(node: Any, keys: Keys) -> Iterator[tuple[Keys, int]]:
    """The line of each key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*keys, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*keys, number), value.start_mark.line + 1
