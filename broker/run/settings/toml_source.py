"""TOML text → a `Tree` with the line of each key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from broker.model.errors import InvalidInput, Problem
from broker.spec.source import Keys, Place, Tree, decode

_KEY: Final = r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'"""
_KEYS: Final = rf"(?:{_KEY})(?:\s*\.\s*(?:{_KEY}))*"
_HEADER: Final = re.compile(rf"\s*\[\[?\s*({_KEYS})\s*\]")
_ENTRY: Final = re.compile(rf"\s*({_KEYS})\s*=")
_POSITION: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_QUOTES: Final = re.compile(r"\"\"\"|'''")


def toml_tree(text: str, file: str, base: Path | None = None) -> Tree:
    """The document in `text`. Raises `InvalidInput` with file and line for what is no TOML."""
    try:
        data = tomllib.loads(decode(text.encode("utf-8", "surrogatepass"), file))
    except tomllib.TOMLDecodeError as error:
        at = _POSITION.search(str(error))
        message = f"is not TOML: {_POSITION.sub('', str(error))}"
        line = int(at[1]) if at and at[1] else max(len(text.splitlines()), 1)
        raise InvalidInput(Problem(message=message, file=file, line=line)) from error
    except RecursionError as error:
        raise InvalidInput(Problem(message="is nested too deep", file=file)) from error
    return Tree(data=data, places=_places(text, file), base=base)


def _places(text: str, file: str) -> dict[Keys, Place]:
    """Where each key stands, as far as lines tell; keys of an inline table stand where the table begins."""
    places: dict[Keys, Place] = {(): Place(file=file)}
    table: Keys = ()
    in_string = False
    for number, line in enumerate(text.splitlines(), 1):
        quotes = len(_QUOTES.findall(line)) % 2 == 1
        if not in_string:
            if header := _HEADER.match(line):
                table = _keys(header[1])
                places.setdefault(table, Place(file=file, line=number))
            elif entry := _ENTRY.match(line):
                places.setdefault((*table, *_keys(entry[1])), Place(file=file, line=number))
        in_string ^= quotes
    return places


def _keys(text: str) -> Keys:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, text))
