"""A query's parameters → none that its route does not have: what a misspelt one filters would be left in unsaid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.api.errors import problem_response
from broker.api.guard import PROBES
from broker.model.errors import InvalidInput, Problem
from broker.spec.validation_errors import unknown


class Parameters:
    """ASGI middleware: refuses parameters that a route does not have. A request without any costs nothing."""

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        routes = (route for router in routers for route in router.routes if isinstance(route, APIRoute))
        # what asks whether the broker lives may add what it likes
        self._known = [(each, frozenset(_names(each.dependant))) for each in routes if each.path not in PROBES]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 422 with each of them by name, or lets the request through."""
        wrong = self._wrong(scope) if scope["type"] == "http" and scope["query_string"] else []
        if not wrong:
            await self._app(scope, receive, send)
            return
        error = InvalidInput(*wrong)
        await problem_response("invalid-input", 422, str(error), error.problems)(scope, receive, send)

    def _wrong(self, scope: Scope) -> list[Problem]:
        given = dict.fromkeys(name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), True))
        known = next((names for route, names in self._known if route.matches(scope)[0] is Match.FULL), frozenset(given))
        return [Problem(field=name, message=unknown(name, known, "parameter")) for name in given if name not in known]


def _names(dependant: Dependant) -> Iterator[str]:
    """Of a route's own parameters and of those of what it depends on."""
    for field in dependant.query_params:
        yield field.alias
    for each in dependant.dependencies:
        yield from _names(each)
