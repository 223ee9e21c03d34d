"""/v1/audit: who did what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from broker.api import audit as views
from broker.api.amounts import nanoseconds
from broker.api.requests import Since, Text, Until, problems
from broker.model.audit import AuditFilter
from broker.run.service import Service

LINES: Final = "application/jsonl"
_PAGE: Final = 1_000
_LINES: Final[dict[str, Any]] = {"content": {LINES: {"schema": {"type": "string"}}}}


def routes(service: Service) -> APIRouter:
    """The route of the audit log."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"])

    @router.get("", response_model=views.AuditList, responses={200: _LINES, **problems(503)})
    async def entries(
        user: Text | None = None,
        action: Annotated[Text | None, Query(description="An action, or what it begins with: jobs.")] = None,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE, description="Entries on a page.")] = 100,
        cursor: Annotated[int | None, Query(ge=1, le=2**62, description="From the page before.")] = None,
        format: Annotated[
            Literal["json", "jsonl"], Query(description="jsonl: all that match, a line of JSON each.")
        ] = "json",
    ) -> views.AuditList | Response:
        """Lists who did what, or tried to, newest first."""
        wanted = AuditFilter(
            user=user,
            action=action,
            since_ns=nanoseconds(since),
            until_ns=nanoseconds(until),
            before_seq=cursor,
            limit=limit,
        )
        if format == "jsonl":
            return StreamingResponse(_lines(service, replace(wanted, limit=_PAGE)), media_type=LINES)
        return views.audit_list(await service.audit.entries(wanted), limit)

    return router


async def _lines(service: Service, wanted: AuditFilter) -> AsyncIterator[str]:
    while found := await service.audit.entries(wanted):
        yield "".join(f"{views.view(each).model_dump_json()}\n" for each in found)
        wanted = replace(wanted, before_seq=found[-1].seq)
