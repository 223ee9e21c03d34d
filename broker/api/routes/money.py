"""/v1/offers: what a job would cost; /v1/spend: what was spent."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from broker.api import schemas, spending
from broker.api.amounts import nanoseconds
from broker.api.decisions import placement
from broker.api.requests import (
    JOB_BODY,
    MOST_TERMS,
    Reading,
    Since,
    TagFilter,
    Text,
    Until,
    User,
    job_fields,
    problems,
    tags_of,
)
from broker.decide.focus import COLUMNS, focus, unknown
from broker.decide.spend import PERIODS, SpendReport, to_csv
from broker.model.query import SpendFilter
from broker.model.usage import BilledLine
from broker.run.service import Service

_CSV: Final[dict[str, Any]] = {"content": {"text/csv": {"schema": {"type": "string"}}}}
UNKNOWN: Final = "X-Unknown-Charges"  # how many lines have no row, as nobody knows what they cost
ACCOUNT: Final = "gpu-broker"  # whose bill it is, where it is of all users
By = Annotated[
    list[Text],
    Query(
        max_length=MOST_TERMS,
        description="Columns: job, user, project, name, pool, day, kind, tag:KEY; several split further.",
    ),
]


def routes(service: Service) -> APIRouter:
    """The routes of money."""
    router = APIRouter(prefix="/v1", tags=["money"])

    @router.post("/offers", responses=problems(413, 503), openapi_extra=JOB_BODY)
    async def offers(request: Request, user: User) -> schemas.PlacementView:
        """Says where a job would run now, what each pool would cost and why others can't; nothing is started."""
        return placement(await service.submissions.offers(await job_fields(request), user))

    @router.get("/spend", response_model=spending.SpendView, responses={200: _CSV, **problems(404, 503)})
    async def spend(
        projects: Reading,
        period: Annotated[Text | None, Query(description=f"In words: {PERIODS}.")] = None,
        since: Since = None,
        until: Until = None,
        by: By = ["pool"],  # noqa: B006 - FastAPI copies it
        job: Annotated[Text | None, Query(description="A job or an array.")] = None,
        user: Text | None = None,
        pool: Text | None = None,
        tag: TagFilter = [],  # noqa: B006 - FastAPI copies it
        format: Annotated[
            Literal["json", "csv", "focus"], Query(description="How to answer; focus: CSV of the FOCUS specification.")
        ] = "json",
    ) -> spending.SpendView | Response:
        """Sums what was spent: execution of jobs, and what is paid besides (boot, idle, cold start, idle tail)."""
        wanted = SpendFilter(
            since_ns=nanoseconds(since),
            until_ns=nanoseconds(until),
            by=tuple(by),
            job_id=job,
            user=user,
            projects=projects,
            pool=pool,
            tags=tags_of(tag),
        )
        if format == "focus":
            return _focus(await service.spending.bill(wanted, period), user or ACCOUNT)
        report = await service.spending.report(wanted, period)
        return spending.spend(report) if format == "json" else _csv(report)

    return router


def _csv(report: SpendReport) -> Response:
    text = io.StringIO()
    csv.writer(text).writerows(to_csv(report))
    return Response(text.getvalue(), media_type="text/csv")


def _focus(lines: Sequence[BilledLine], account: str) -> Response:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(focus(lines, account))
    return Response(text.getvalue(), media_type="text/csv", headers={UNKNOWN: str(unknown(lines))})
