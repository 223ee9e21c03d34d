"""A query's parameters → none that its route does not have: what a misspelt one filters would be left in unsaid."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant

from broker.api.guard import PROBES
from broker.model.errors import InvalidInput, Problem
from broker.spec.validation_errors import unknown


async def refuse_unknown(request: Request) -> None:
    """Raises `InvalidInput` that names each parameter that the route does not have; what probes send is let pass."""
    if not request.scope["query_string"] or request.scope["path"] in PROBES:
        return
    known = frozenset(_names(request.scope["route"].dependant))
    problems = [
        Problem(field=name, message=unknown(name, known, "parameter"))
        for name in request.query_params
        if name not in known
    ]
    if problems:
        raise InvalidInput(*problems)


def _names(dependant: Dependant) -> Iterator[str]:
    """Of a route's own parameters and of those of what it depends on."""
    for field in dependant.query_params:
        yield field.alias
    for each in dependant.dependencies:
        yield from _names(each)
