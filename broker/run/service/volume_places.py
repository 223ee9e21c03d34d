"""The volumes that a job names → the one place where all of them are."""

from __future__ import annotations

from collections.abc import Mapping

from broker.model.errors import InvalidInput, Problem
from broker.model.volumes import Volume


def common_place(wanted: Mapping[str, str], known: Mapping[str, Volume]) -> str:
    """Where they are. Raises `InvalidInput` for one that there is not, and for several places: no pool reaches them."""
    problems = [
        Problem(
            field=f"volumes.{path}",
            message=f"there is no volume {name!r}: `broker volume create {name}` makes one; "
            f"there are: {', '.join(sorted(known)) or 'none'}",
        )
        for path, name in wanted.items()
        if name not in known
    ]
    if problems:
        raise InvalidInput(*problems)
    places = {known[name].place: name for name in wanted.values()}
    if len(places) > 1:
        said = " and ".join(f"{name} is at {place}" for place, name in sorted(places.items()))
        raise InvalidInput(Problem(field="volumes", message=f"no pool reaches all of them: {said}"))
    return next(iter(places))
