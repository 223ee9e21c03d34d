"""A service → the HTTP application: routes by noun, problems for errors, a token, and a complete OpenAPI document."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from broker.api import dashboard, schemas
from broker.api.audit import Audited, changing
from broker.api.browsers import Browsers
from broker.api.calls import ResultHead
from broker.api.errors import handle_errors
from broker.api.failures import Failures
from broker.api.guard import PROBES, Guard
from broker.api.limits import DEFAULT, Throttle
from broker.api.parameters import Parameters
from broker.api.routes import (
    audit,
    budgets,
    calls,
    capacity,
    events,
    jobs,
    money,
    operations,
    output,
    prices,
    projects,
    schedules,
    secrets,
    studies,
    tokens,
    volumes,
)
from broker.run.service import Service
from broker.run.settings import UserLimits
from broker.spec.schema import job_schema

ABOUT = """The broker's REST API: submit jobs, follow them, and see where they ran, why, and what they cost.

Times are ISO 8601 in UTC. Money is exact: dollars as text, beside whole nanodollars. What is not known is null.
Errors are problem details (RFC 9457).
"""


def create_app(service: Service, token: str | None = None, limits: UserLimits = DEFAULT) -> FastAPI:
    """The application. With a token, all but /healthz and /readyz asks for it, and `limits` hold for each user."""
    app = FastAPI(
        title="gpu-broker",
        description=ABOUT,
        version=version("gpu-broker"),
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere: `dashboard` has one of ours
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.files = limits.files
    nouns = (
        jobs,
        output,
        calls,
        money,
        budgets,
        prices,
        capacity,
        studies,
        events,
        tokens,
        audit,
        projects,
        schedules,
        secrets,
        volumes,
        operations,
    )
    routers = [noun.routes(service) for noun in nouns]
    for router in routers:
        app.include_router(router)
    app.include_router(dashboard.routes())
    handle_errors(app)
    app.add_middleware(Parameters, routers=routers)
    if token is not None:
        app.add_middleware(Throttle, limits=limits)
    app.add_middleware(Guard, token=token, identify=service.tokens.identify, failures=Failures(limits.failures))
    app.add_middleware(Browsers, trusting=token is None)
    app.add_middleware(Audited, service=service, routes=changing(routers))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    from broker.api.examples import complete  # made for who asks for the document, not at each start

    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=ABOUT,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        components = document["components"]
        components["schemas"].update(_own_schemas())
        for foreign in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(foreign, None)
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations_ in document["paths"].items():
            for operation in operations_.values():
                _drop_foreign(operation["responses"])
                operation["security"] = [] if path in PROBES else [{"token": []}]
        complete(document)
        app.openapi_schema = document
    return app.openapi_schema


def _drop_foreign(responses: dict[str, Any]) -> None:
    """FastAPI says of each route with parameters that it may answer 422 in a shape of its own: none does."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]


def _own_schemas() -> dict[str, Any]:
    """Schemas that routes name without FastAPI knowing: the job that people write, problems, events."""
    job = _rebased(job_schema())
    found = {**job.pop("$defs", {}), "Job": {key: value for key, value in job.items() if key != "$schema"}}
    for model in (schemas.ProblemDetails, schemas.LogEvent, ResultHead):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= {**schema.pop("$defs", {}), model.__name__: schema}
    return found


def _rebased(part: Any) -> Any:
    """The same with references to where OpenAPI keeps schemas."""
    if isinstance(part, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref" and isinstance(value, str)
            else _rebased(value)
            for key, value in part.items()
        }
    return [_rebased(each) for each in part] if isinstance(part, list) else part
