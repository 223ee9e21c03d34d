"""Every operation that takes a body → what may be sent, under names for people. A broker with these pools takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broker.api.examples import jobs, studies, tenancy
from broker.api.examples.money import BUDGET
from broker.api.examples.past import ARRAY_BODY, BODY, PROJECT, USER

_SCHEDULE: Final[dict[str, Any]] = {
    "name": "nightly",
    "cron": "0 2 * * *",
    "concurrency": "forbid",
    "starting_deadline": "1h",
    "job": tenancy.NIGHTLY,
}

BODIES: Final[Mapping[str, Mapping[str, object]]] = {
    "POST /v1/jobs": {"job": BODY, "array": ARRAY_BODY},
    "POST /v1/jobs:batch": {"two": jobs.BATCH_BODY},
    "POST /v1/offers": {"job": BODY},
    "POST /v1/calls": {"call": jobs.CALL},
    "PUT /v1/blobs/{sha256}": {"function": jobs.PICKLED},
    "PUT /v1/budgets/{name}": {
        "month": {
            "limit": str(BUDGET.limit.usd),
            "period": BUDGET.period.value,
            "action": BUDGET.action.value,
            "project": PROJECT,
        }
    },
    "POST /v1/plan": {"demand": studies.PLAN_BODY, "history": {"period": "90d", "gpu": "H100", "forecast_days": 30}},
    "POST /v1/simulate": {"trace": studies.SIMULATION_BODY},
    "POST /v1/tokens": {"month": {"user": USER, "scope": "submit", "lives_s": 30 * 86_400}},
    "POST /v1/projects": {"project": {"name": PROJECT, **tenancy.PROJECT_PART}},
    "PUT /v1/projects/{name}": {"all": tenancy.PROJECT_PART},
    "PUT /v1/projects/{name}/members/{user}": {"submitter": {"role": "submitter"}},
    "POST /v1/schedules": {"nightly": _SCHEDULE},
    "PATCH /v1/schedules/{name}": {"later": {"cron": "30 3 * * *"}},
    "PUT /v1/secrets/{name}": {"token": {"value": "hf_EXAMPLE", "projects": [PROJECT]}},
    "POST /v1/volumes": {"here": {"name": "checkpoints", "project": PROJECT}},
    "PATCH /v1/volumes/{name}": {"given": {"project": PROJECT}},
    "PUT /v1/volumes/{name}/shares/{project}": {"read": {"access": "read"}},
    "POST /v1/shutdown": {"drain": {"mode": "drain"}},
}
