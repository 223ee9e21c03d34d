"""Requests that change something → entries of the audit log, and the log as the API shows it.

Which requests they are is read from the routes themselves, so that a new one is in the log by being there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.amounts import time
from broker.api.guard import IDENTITY, TRUSTED
from broker.model.acting import ACTING, Act
from broker.model.audit import DONE, AuditEntry
from broker.model.errors import StoreError
from broker.model.tokens import Identity
from broker.run.service import Service

log = structlog.get_logger()

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGE_NOTHING: Final = frozenset(
    {"/v1/offers", "/v1/plan", "/v1/simulate"}
)  # that are no GET because they bring a body
_BAD: Final = 400
_LONGEST: Final = 100


class AuditView(BaseModel):
    """One line of the log."""

    seq: int = Field(description="Its place in the log.")
    at: datetime
    user: str = Field(description="Who asked; empty where nobody knows.")
    token_id: str = Field(description="Empty: the Unix socket, or the broker's own token.")
    action: str = Field(examples=["jobs.cancel"])
    target: str = Field(description="What it was about.")
    origin: str = Field(description="Address it came from; `socket` for the Unix socket.")
    outcome: str = Field(description="`done`, or `refused` and the HTTP status.")


class AuditList(BaseModel):
    """Entries of the log, newest first."""

    entries: list[AuditView]
    next_cursor: int | None = Field(description="Pass it as `cursor` for the page after; null: there is none.")


def view(entry: AuditEntry) -> AuditView:
    """An entry as it is answered."""
    return AuditView(
        seq=entry.seq,
        at=time(entry.at_ns),
        user=entry.user,
        token_id=entry.token_id,
        action=entry.action,
        target=entry.target,
        origin=entry.origin,
        outcome=entry.outcome,
    )


def audit_list(entries: Iterable[AuditEntry], limit: int) -> AuditList:
    """A page of the log."""
    views = [view(each) for each in entries]
    return AuditList(entries=views, next_cursor=views[-1].seq if len(views) == limit else None)


class Audited:
    """ASGI middleware around the guard: what is not let in is in the log as well."""

    def __init__(self, app: ASGIApp, service: Service, routes: Sequence[APIRoute]) -> None:
        """`routes` are those that change something."""
        self._app = app
        self._service = service
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carries a request out; one that changes something gets an entry, whatever becomes of it."""
        named = self._named(scope) if scope["type"] == "http" and scope["method"] not in READING else None
        if named is None:
            await self._app(scope, receive, send)
            return
        action, target = named
        at_ns, status = self._service.audit.clock.now_ns(), 500

        def entry(about: str) -> AuditEntry:
            return self._entry(scope, action, target or about, at_ns)

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        act = Act(entry)
        token = ACTING.set(act)
        try:
            await self._app(scope, receive, sent)
        finally:
            ACTING.reset(token)
            await self._after(act, status)

    def _named(self, scope: Scope) -> tuple[str, str] | None:
        """The action of a request, and what its path says it is about; None where it changes nothing."""
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return action_of(route), _target(found["path_params"])
        return None

    async def _after(self, act: Act, status: int) -> None:
        """Writes the entry of what the store was not asked to write, or did not."""
        entry = act.entry()
        try:
            if status >= _BAD and not act.written:
                await self._service.audit.refused(_refused(entry, status))
            elif not act.written:
                await self._service.audit.done(entry)
        except StoreError as error:
            log.error("the audit log could not be written", action=entry.action, user=entry.user, error=str(error))

    def _entry(self, scope: Scope, action: str, target: str, at_ns: int) -> AuditEntry:
        who: Identity | None = scope.get(IDENTITY)
        claimed = dict(scope["headers"]).get(b"broker-user", b"").decode("latin-1")[:_LONGEST]
        client = scope.get("client")
        return AuditEntry(
            at_ns=at_ns,
            user="" if who is None else who.user or _plain(claimed) or self._service.user,
            token_id=who.token_id if who else "",
            action=action,
            target=target,
            origin="socket" if scope.get(TRUSTED) or not client else str(client[0]),
            outcome=DONE,
        )


def _refused(entry: AuditEntry, status: int) -> AuditEntry:
    return AuditEntry(
        at_ns=entry.at_ns,
        user=entry.user,
        token_id=entry.token_id,
        action=entry.action,
        target=entry.target,
        origin=entry.origin,
        outcome=f"refused {status}",
    )


def changing(routers: Iterable[APIRouter]) -> list[APIRoute]:
    """The routes that may change something."""
    routes = (route for router in routers for route in router.routes if isinstance(route, APIRoute))
    return [each for each in routes if (each.methods or set()) - READING and each.path not in CHANGE_NOTHING]


def action_of(route: APIRoute) -> str:
    """`POST /v1/jobs/{id}/cancel` → `jobs.cancel`, by the name of the function behind it."""
    noun = route.path.split("/")[2].partition(":")[0]
    return f"{noun}.{route.name.strip('_')}"


def _target(params: Mapping[str, Any]) -> str:
    return "/".join(_plain(str(value)[:_LONGEST]) for value in params.values())


def _plain(text: str) -> str:
    """Without what a terminal or a database would take for something else."""
    return "".join(char if char.isprintable() else "�" for char in text)
