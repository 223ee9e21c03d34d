"""Every operation → what it answers when all goes well, from the made-up past."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from broker.api import budgets, projects, schedules, schemas, secrets, tokens, volumes
from broker.api.amounts import time
from broker.api.brokers import BrokerView
from broker.api.examples import capacity, jobs, money, studies, tenancy, texts
from broker.api.examples.pools import POOLS, standings
from broker.api.examples.times import NOW, at
from broker.api.reports import pool
from broker.model.money import NS_PER_S


def _budgets() -> budgets.BudgetList:
    return budgets.BudgetList(budgets=[money.budget()])


def _none_left() -> budgets.BudgetList:
    return budgets.BudgetList(budgets=[])


def _tokens() -> tokens.TokenList:
    return tokens.TokenList(tokens=[tenancy.token()])


def _projects() -> projects.ProjectList:
    return projects.ProjectList(projects=[tenancy.default_project(), tenancy.project()])


def _projects_left() -> projects.ProjectList:
    return projects.ProjectList(projects=[tenancy.default_project()])


def _schedules() -> schedules.ScheduleList:
    return schedules.ScheduleList(schedules=[tenancy.schedule()])


def _schedules_left() -> schedules.ScheduleList:
    return schedules.ScheduleList(schedules=[])


def _secrets() -> secrets.SecretList:
    return secrets.SecretList(secrets=[tenancy.secret()])


def _secrets_left() -> secrets.SecretList:
    return secrets.SecretList(secrets=[])


def _volumes() -> volumes.VolumeList:
    return volumes.VolumeList(volumes=[tenancy.volume()])


def _pools() -> schemas.PoolList:
    return schemas.PoolList(pools=[pool(each) for each in standings()])


def _status() -> schemas.StatusView:
    return schemas.StatusView(
        pid=4711,
        version="0.1.0",
        started_at=time(at("05:58")),
        uptime_s=(NOW - at("05:58")) / NS_PER_S,
        memory_bytes=183_500_800,
        counts={"queued": 0, "starting": 0, "running": 5, "succeeded": 412, "failed": 3, "cancelled": 1},
        problems={},
        brokers=[BrokerView(name="gpu-a:4711", here=True, leads=True, pools=sorted(each.name for each in POOLS))],
    )


# Of a route that answers in several ways, each by its status or media type.
ANSWERS: Final[Mapping[str, Callable[[], object]]] = {
    "POST /v1/jobs": jobs.submitted,
    "POST /v1/jobs 200": partial(jobs.submitted, created=False),
    "POST /v1/jobs:batch": jobs.batch,
    "POST /v1/jobs:batch 200": partial(jobs.batch, created=False),
    "GET /v1/jobs": jobs.listing,
    "GET /v1/jobs/{id}": jobs.detail,
    "GET /v1/jobs/{id}/wait": jobs.standing,
    "GET /v1/jobs/{id}/explain": jobs.explained,
    "POST /v1/jobs/{id}/cancel": jobs.cancelled,
    "POST /v1/jobs/{id}/retry": jobs.retried,
    "GET /v1/jobs/{id}/logs": lambda: jobs.OUTPUT,
    "GET /v1/jobs/{id}/follow": jobs.followed,
    "GET /v1/jobs/{id}/result": lambda: jobs.PICKLED,
    "POST /v1/calls": jobs.called,
    "GET /v1/results": jobs.result,
    "PUT /v1/blobs/{sha256}": jobs.blob,
    "GET /v1/blobs/{sha256}": jobs.blob,
    "POST /v1/offers": jobs.offered,
    "GET /v1/spend application/json": money.spend,
    "GET /v1/spend text/csv": money.spend_csv,
    "GET /v1/budgets": _budgets,
    "GET /v1/budgets/{name}": money.budget,
    "PUT /v1/budgets/{name}": money.budget,
    "DELETE /v1/budgets/{name}": _none_left,
    "GET /v1/prices": money.prices,
    "GET /v1/breakeven": money.breakevens,
    "GET /v1/demand": capacity.demand,
    "GET /v1/forecast": capacity.forecast,
    "GET /v1/accuracy": capacity.accuracy,
    "GET /v1/counterfactual": capacity.counterfactual,
    "GET /v1/plan": studies.own_planned,
    "POST /v1/plan": studies.planned,
    "POST /v1/simulate": studies.simulated,
    "GET /v1/events": jobs.happened,
    "GET /metrics": lambda: texts.METRICS,
    "POST /v1/tokens": tenancy.token_made,
    "GET /v1/tokens": _tokens,
    "GET /v1/tokens/{id}": tenancy.token,
    "DELETE /v1/tokens/{id}": tenancy.token_revoked,
    "GET /v1/audit application/json": tenancy.audit,
    "GET /v1/audit application/jsonl": tenancy.audit_lines,
    "POST /v1/projects": tenancy.project_made,
    "GET /v1/projects": _projects,
    "GET /v1/projects/{name}": tenancy.project,
    "PUT /v1/projects/{name}": tenancy.project,
    "DELETE /v1/projects/{name}": _projects_left,
    "PUT /v1/projects/{name}/members/{user}": tenancy.project,
    "DELETE /v1/projects/{name}/members/{user}": tenancy.project_alone,
    "POST /v1/schedules": tenancy.schedule,
    "GET /v1/schedules": _schedules,
    "GET /v1/schedules/{name}": tenancy.schedule,
    "PATCH /v1/schedules/{name}": tenancy.schedule_moved,
    "POST /v1/schedules/{name}/pause": partial(tenancy.schedule, paused=True),
    "POST /v1/schedules/{name}/resume": tenancy.schedule,
    "POST /v1/schedules/{name}/run": tenancy.firing,
    "DELETE /v1/schedules/{name}": _schedules_left,
    "GET /v1/secrets": _secrets,
    "GET /v1/secrets/{name}": tenancy.secret,
    "PUT /v1/secrets/{name}": tenancy.secret,
    "DELETE /v1/secrets/{name}": _secrets_left,
    "POST /v1/secrets/rotate-key": lambda: secrets.Rotated(sealed=4),
    "POST /v1/volumes": tenancy.volume_made,
    "GET /v1/volumes": _volumes,
    "GET /v1/volumes/{name}": tenancy.volume,
    "PATCH /v1/volumes/{name}": tenancy.volume,
    "PUT /v1/volumes/{name}/shares/{project}": tenancy.volume_shared,
    "DELETE /v1/volumes/{name}/shares/{project}": tenancy.volume,
    "DELETE /v1/volumes/{name}": lambda: volumes.VolumeRemoved(name="checkpoints", emptied=True),
    "GET /v1/pools": _pools,
    "GET /v1/pools/{name}": lambda: pool(standings()[0]),
    "GET /v1/status": _status,
    "GET /v1/autopilot": capacity.steered,
    "POST /v1/shutdown": schemas.Accepted,
    "GET /healthz": schemas.Healthy,
    "GET /readyz": schemas.Healthy,
}
