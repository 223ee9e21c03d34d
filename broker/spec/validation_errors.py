"""What pydantic found wrong → `Problem`s for people: plain words, the place, and the nearest name that exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from broker.spec.quantities import shown
from broker.spec.source import Keys

MOST_PROBLEMS: Final = 100  # that are said at once
MOST_NAMES: Final = 15  # that are listed where none is near

_CONFIDENTIAL: Final = frozenset({"envs", "env", "secrets", "secret_files"})
_WORDS: Final = {
    "missing": "is required",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "date_from_datetime_parsing": "must be a date like 2026-01-31",
    "date_parsing": "must be a date like 2026-01-31",
    "date_type": "must be a date like 2026-01-31",
    "dict_type": "must be a map (name: value)",
    "list_type": "must be a list",
    "model_type": "must be a map of fields (name: value)",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "string_pattern_mismatch": "does not look as it should: {pattern}",
}


def complaints(error: ValidationError, names: Callable[[Keys], Sequence[str]]) -> Iterable[tuple[Keys, str]]:
    """Where and what is wrong. `names` answers which fields exist in the map at some keys."""
    for found in error.errors(include_url=False)[:MOST_PROBLEMS]:
        keys = tuple(key for key in found["loc"] if key != "[key]")
        if found["type"] == "extra_forbidden":
            yield keys, unknown(str(keys[-1]), names(keys[:-1]))
        else:
            yield keys, _message(found, confidential=bool(_CONFIDENTIAL & set(keys)))


def unknown(name: str, known: Iterable[str], what: str = "field") -> str:
    """`unknown field (did you mean 'accelerators'?)`."""
    there = sorted(set(known))
    near = nearest(name, there)
    if near:
        return f"unknown {what} (did you mean {near[0]!r}?)"
    if not there:
        return f"unknown {what}; there is none"
    if len(there) > MOST_NAMES:
        return f"unknown {what}, and none has a name like it"
    return f"unknown {what}; there {'is' if len(there) == 1 else 'are'}: {', '.join(there)}"


def nearest(name: str, known: Iterable[str], at_most: int = 1) -> list[str]:
    """The known names that `name` is most likely meant to be; none when none is near."""
    by_plain = {_plain(each): each for each in known}
    if found := by_plain.get(_plain(name)):
        return [found]
    near = get_close_matches(_plain(name), by_plain, n=at_most, cutoff=0.6)
    return [by_plain[each] for each in near]


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _message(found: Any, *, confidential: bool) -> str:
    context = found.get("ctx", {})
    if found["type"] == "value_error":
        return str(context["error"])
    if found["type"] == "literal_error":
        near = nearest(str(found["input"]), re.findall(r"'([^']+)'", str(context["expected"])))
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"must be {context['expected']}, not {shown(found['input'])}{hint}"
    words = _WORDS.get(found["type"], str(found["msg"])).format_map(context)
    return words if confidential or found["type"] == "missing" else f"{words}, not {shown(found['input'])}"
