"""A route and the name of a parameter → a value that it may have, of the made-up past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.api.examples.jobs import BLOB, CURSOR, KEY, OUTPUT
from broker.api.examples.money import BUDGET
from broker.api.examples.past import ARRAY_ID, BODY, JOB_ID, PROJECT, USER, running
from broker.api.examples.pools import CLUSTER
from broker.api.examples.tenancy import TOKEN_ID
from broker.model.volumes import EVERYBODY

_NOUNS: Final[Mapping[str, str]] = {
    "budgets": BUDGET.name,
    "pools": CLUSTER.name,
    "projects": PROJECT,
    "schedules": "nightly",
    "secrets": "HF_TOKEN",
    "volumes": "checkpoints",
}
# Where a name means something else in one operation, that stands before it.
_VALUES: Final[Mapping[str, object]] = {
    "id": JOB_ID,
    "GET /v1/tokens/{id} id": TOKEN_ID,
    "DELETE /v1/tokens/{id} id": TOKEN_ID,
    "sha256": BLOB,
    "user": USER,
    "Broker-User": USER,
    "Idempotency-Key": JOB_ID,
    "POST /v1/jobs:batch Idempotency-Key": KEY,
    "GET /v1/jobs/{id}/follow Last-Event-ID": f"1-{len(OUTPUT)}-0",
    "GET /v1/events Last-Event-ID": "5f3c09ae-117",
    "GET /v1/jobs name": BODY["name"],
    "GET /v1/jobs cursor": CURSOR,
    "GET /v1/audit cursor": 410,
    "project": [PROJECT],
    "PUT /v1/volumes/{name}/shares/{project} project": EVERYBODY,
    "DELETE /v1/volumes/{name}/shares/{project} project": EVERYBODY,
    "pool": CLUSTER.name,
    "array": ARRAY_ID,
    "tag": ["model=resnet50"],
    "state": ["queued", "running"],
    "since": "2026-11-02T00:00:00Z",
    "until": "2026-11-03T00:00:00Z",
    "GET /v1/jobs/{id}/wait since": running().revision,
    "period": "this month",
    "by": ["user", "pool"],
    "job": JOB_ID,
    "action": "jobs",
    "kind": ["job.failed", "budget"],
    "gpu": "H100",
    "serverless": ["modal"],
    "attempt": 1,
    "of": [JOB_ID, f"{ARRAY_ID}:0-3"],
}


def parameter(operation: str, name: str) -> object | None:
    """An example; None where the schema says enough: by its default, or the values that there are."""
    if (exact := _VALUES.get(f"{operation} {name}", _VALUES.get(name))) is not None:
        return exact
    noun = operation.split("/")[2].partition(":")[0] if name == "name" else ""
    return _NOUNS.get(noun)
