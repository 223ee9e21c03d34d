"""Names that a user gave → the same without repetitions, or an error with the nearest one that there is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from broker.model.errors import UnknownName


def known(names: Iterable[str], there: Iterable[str], what: str) -> list[str]:
    """Raises `UnknownName` for the first that there is not."""
    options = list(there)
    for name in names:
        if name not in options:
            near = get_close_matches(name, options, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(options)}"
            raise UnknownName(f"there is no {what} {name!r}: {hint}")
    return list(dict.fromkeys(names))
