"""Names that a user gave → the same without duplicates, or an error that suggests the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from broker.model.errors import UnknownName


def known_names(names: Iterable[str], valid: Iterable[str], what: str) -> list[str]:
    """The names in the order given, each once. Raises `UnknownName` for the first that is not among `valid`.

    `what` says in the message what kind of thing is named.
    """
    options = list(valid)
    for name in names:
        if name not in options:
            near = get_close_matches(name, options, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(options)}"
            raise UnknownName(f"there is no {what} {name!r}: {hint}")
    return list(dict.fromkeys(names))
