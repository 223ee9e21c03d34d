"""Which fields exist in each map of a job, in our own names and those of other tools: for "did you mean"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from pydantic import BaseModel

from broker.spec.document import JobDocument
from broker.spec.foreign import ALIASES
from broker.spec.source import Keys


def names_at(keys: Keys) -> Sequence[str]:
    """The names that may be written in the map at these keys."""
    return _by_map().get(".".join(str(key) for key in keys if isinstance(key, str)), ())


@cache
def _by_map() -> dict[str, tuple[str, ...]]:
    names: dict[str, set[str]] = {"": set(JobDocument.model_fields)}
    for name, field in JobDocument.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names[name] = set(field.annotation.model_fields)
    for alias in ALIASES:
        container, _, last = alias.name.rpartition(".")
        names.setdefault(container, set()).add(last)
    return {container: tuple(sorted(found)) for container, found in names.items()}
