"""A route and a status → the problem that it would answer with, said by what really says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from broker.api import browsers, guard, limits
from broker.api.calls import TASKS
from broker.api.errors import details_of
from broker.api.examples.jobs import BLOB
from broker.api.examples.past import ARRAY_ID, JOB_ID, PROJECT, array
from broker.api.examples.tenancy import TOKEN_ID
from broker.decide.spend import PERIODS
from broker.decide.throttle import Bucket, take
from broker.model.errors import BrokerError, Conflict, InvalidInput, PriceMissing, Problem, StoreAway, UnknownName
from broker.model.tokens import Scope
from broker.run.attempts.blob_room import no_room
from broker.run.service.jobs import an_array
from broker.run.settings.secrets import NO_VALUE
from broker.run.store.budgeting import no_budget
from broker.run.store.sealing import no_secret
from broker.run.store.tokens import no_token
from broker.run.store.volume_keeping import no_volume
from broker.spec.validation_errors import unknown

Said = TypeVar("Said")

_AWAY: Final = StoreAway(
    "store postgresql://broker@db/broker: it does not answer: check that the database runs and the URL is right "
    "(connection refused)"
)
_NO_PROJECT: Final = UnknownName(Problem(field="project", message=f"there is no project {PROJECT!r}"))
_NO_POOL: Final = UnknownName("there is no pool 'rey'; there are modal, ray")
_CONFIGURED: Final = Conflict("the budget 'vision-month' is the configuration's: change it there")
_NO_PRICES: Final = PriceMissing("the price catalogue /opt/broker/pricing/catalog has no CSV file")
_OTHER_CONTENT: Final = Conflict(
    f"{JOB_ID} was submitted before with another content: choose another id, or submit the same again"
)

# By operation, path, or how paths begin; the longest that fits counts.
_NOT_THERE: Final[Mapping[str, BrokerError]] = {
    "": _NO_PROJECT,
    "/v1/jobs/{id}": UnknownName(f"there is no job {JOB_ID!r}"),
    "/v1/results": UnknownName(f"there is no array {ARRAY_ID!r}"),
    "/v1/blobs/{sha256}": UnknownName(f"there is no blob {BLOB!r}"),
    "/v1/budgets/{name}": no_budget("vision-month"),
    "/v1/breakeven": UnknownName(f"H1000: {unknown('H1000', ['H100'], 'GPU')}"),
    "/v1/pools/{name}": _NO_POOL,
    "/v1/demand": _NO_POOL,
    "/v1/forecast": _NO_POOL,
    "/v1/accuracy": _NO_POOL,
    "/v1/counterfactual": _NO_POOL,
    "/v1/tokens/{id}": no_token(TOKEN_ID),
    "PUT /v1/projects/{name}": UnknownName(f"there is no project {PROJECT!r}"),
    "DELETE /v1/projects/{name}": UnknownName(f"there is no project {PROJECT!r}"),
    "/v1/schedules/{name}": UnknownName("there is no schedule 'nightly': `broker schedule list` shows them"),
    "/v1/secrets/{name}": no_secret("HF_TOKEN"),
    "/v1/volumes/{name}": no_volume("checkpoints"),
}
_CONTRADICTS: Final[Mapping[str, BrokerError]] = {
    "/v1/jobs": _OTHER_CONTENT,
    "/v1/jobs/{id}/retry": Conflict(
        f"{JOB_ID} has succeeded: there is nothing to retry; submit the job again to run it once more"
    ),
    "/v1/jobs/{id}/result": Conflict(f"{JOB_ID} is running: it has no result before it has ended"),
    "/v1/calls": _OTHER_CONTENT,
    "/v1/budgets": _CONFIGURED,
    "/v1/prices": _NO_PRICES,
    "/v1/breakeven": PriceMissing(
        "no serverless offer for V100 is known on 2026-11-02: there is nothing to compare with"
    ),
    "/v1/projects": Conflict(f"there is a project {PROJECT!r}: choose another name"),
    "/v1/projects/{name}": Conflict(
        f"the project {PROJECT!r} has jobs that have not ended, {JOB_ID} for one: cancel them first"
    ),
    "/v1/schedules": Conflict("there is a schedule 'nightly': delete it first, or choose another name"),
    "/v1/secrets": Conflict("this broker's secrets are kept elsewhere: set them there"),
    "/v1/volumes": Conflict("there is a volume 'checkpoints': use it, or choose another name"),
    "/v1/volumes/{name}": Conflict(
        f"the volume 'checkpoints' is in use by {ARRAY_ID}.16: cancel what uses it, or wait for its end"
    ),
    "/v1/volumes/{name}/shares": Conflict(
        f"the volume 'checkpoints' is of the project {PROJECT!r}, which may read and write anyway"
    ),
    "/v1/shutdown": Conflict(
        "this process only answers: `broker down` at a broker ends that one, SIGTERM ends this one"
    ),
}
_NAME: Final = "string should match pattern '^[a-z0-9][a-z0-9_-]{0,39}$'"
_SCHEDULE: Final = "string should match pattern '^[a-z0-9][a-z0-9_-]{0,23}$'"
_TEXT: Final = r"string should match pattern '^[^\x00-\x1f\x7f]+$'"
_PERIOD: Final = f"'never' is no period: say one of {PERIODS}"
_EXTRA: Final = "extra inputs are not permitted"
_UNKNOWN: Final = "unknown field (did you mean 'gpu'?)"
_LEAST: Final = "input should be greater than or equal to"
_NOT_ALONE: Final = str(an_array(array()))
# By operation, path, or how paths begin, as above: the field that is wrong, and what is said of it.
_WRONG: Final[Mapping[str, tuple[str, str]]] = {
    "POST /v1/jobs": ("gpuz", _UNKNOWN),
    "POST /v1/jobs:batch": ("jobs[1].gpuz", _UNKNOWN),
    "POST /v1/offers": ("gpuz", _UNKNOWN),
    "POST /v1/calls": ("function", "is missing: a call is one of a function"),
    "POST /v1/jobs/{id}/retry": ("secrets", NO_VALUE.format(name="HF_TOKEN")),
    "GET /v1/jobs": ("limit", f"{_LEAST} 1"),
    "GET /v1/jobs/{id}/logs": ("limit", f"{_LEAST} 1"),
    "GET /v1/jobs/{id}/wait": ("timeout_s", f"{_LEAST} 0"),
    "GET /v1/jobs/{id}/follow": (
        "Last-Event-ID",
        r"string should match pattern '^([0-9]{1,6}(-[0-9]{1,12}){2})?$'",
    ),
    "GET /v1/jobs/{id}/explain": ("", _NOT_ALONE),
    "GET /v1/jobs/{id}/result": ("", _NOT_ALONE),
    "GET /v1/results": ("of", f"string should match pattern '{TASKS}'"),
    "/v1/blobs/": ("sha256", "string should match pattern '^[0-9a-f]{64}$'"),
    "GET /v1/events": ("Last-Event-ID", "string should match pattern '^([0-9a-f]{8}-[0-9]{1,15})?$'"),
    "GET /v1/spend": ("period", _PERIOD),
    "GET /v1/demand": ("period", _PERIOD),
    "GET /v1/accuracy": ("period", _PERIOD),
    "GET /v1/counterfactual": ("period", _PERIOD),
    "GET /v1/forecast": ("max_age_s", f"{_LEAST} 0"),
    "GET /v1/prices": ("gpu", _TEXT),
    "GET /v1/breakeven": ("job_s", "input should be greater than 0"),
    "GET /v1/budgets": ("project", _TEXT),
    "GET /v1/schedules": ("project", _TEXT),
    "GET /v1/secrets": ("project", _TEXT),
    "GET /v1/volumes": ("project", _TEXT),
    "GET /v1/audit": ("limit", f"{_LEAST} 1"),
    "/v1/budgets/{name}": ("name", _NAME),
    "/v1/pools/{name}": ("name", _NAME),
    "/v1/projects/{name}": ("name", _NAME),
    "/v1/volumes/{name}": ("name", _NAME),
    "/v1/schedules/{name}": ("name", _SCHEDULE),
    "/v1/secrets/{name}": ("name", "string should match pattern '^[A-Za-z_][A-Za-z0-9_]*$'"),
    "PUT /v1/budgets/{name}": ("period", "input should be 'day', 'week', 'month' or 'total'"),
    "PUT /v1/projects/{name}": ("weight", "input should be greater than 0"),
    "PUT /v1/projects/{name}/members/{user}": ("role", "input should be 'viewer', 'submitter' or 'admin'"),
    "PUT /v1/secrets/{name}": ("value", "is empty"),
    "GET /v1/plan": ("days", f"{_LEAST} 1"),
    "POST /v1/plan": ("demandd", _EXTRA),
    "POST /v1/simulate": ("scenarios", "list should have at least 1 item after validation, not 0"),
    "POST /v1/tokens": ("user", "field required"),
    "POST /v1/projects": ("name", "'Not-A-Name' is no name of a project: use 1 to 40 of a-z, 0-9, '_' and '-'"),
    "POST /v1/schedules": (
        "cron",
        "must be five fields (minute hour day month weekday) or one of @hourly, @daily, @midnight, @weekly, @monthly, "
        "@yearly, @annually",
    ),
    "PATCH /v1/schedules/{name}": ("cronn", _EXTRA),
    "PATCH /v1/volumes/{name}": ("project", "field required"),
    "PUT /v1/volumes/{name}/shares/{project}": ("access", "input should be 'read' or 'write'"),
    "DELETE /v1/volumes/{name}/shares/{project}": ("name", _NAME),
    "POST /v1/volumes": ("place", "no pool has volumes at 'the-moon'; places: nfs-us-east-1 (ray)"),
    "POST /v1/shutdown": ("mode", "input should be 'drain' or 'now'"),
}

# Of a route that takes nothing, and so can be sent nothing else that is wrong.
_ANY_ROUTE: Final = {"": ("perod", unknown("perod", [], "parameter"))}


def problem(operation: str, status: int) -> dict[str, Any]:
    """What `METHOD /path` answers with this status. Raises KeyError where no route does."""
    method, _, path = operation.partition(" ")
    tables: dict[int, Mapping[str, BrokerError]] = {404: _NOT_THERE, 409: _CONTRADICTS}
    if status in tables:
        return _told(tables[status].get(operation) or _longest(tables[status], path))
    if status == 422:
        field, message = _WRONG.get(operation) or _longest({**_WRONG, **_ANY_ROUTE}, path)
        return _told(InvalidInput(Problem(field=field, message=message)))
    return _standing_before(method, path)[status]


def _standing_before(method: str, path: str) -> dict[int, dict[str, Any]]:
    """What is said before any route is asked, or where none can answer."""
    needed = guard.needed_for(method, path)
    forbidden = (
        browsers.refused("a browser sent this for another site (Sec-Fetch-Site: cross-site)")
        if needed is Scope.READ
        else guard.not_enough(Scope.READ, needed)
    )
    rate = limits.DEFAULT.rate
    too_often = limits.too_many(rate, take(Bucket(level=0.0, at_s=0.0), rate, 0.0))
    answers = {
        401: guard.no_token(),
        403: forbidden,
        413: guard.too_large(guard.limit_of(path)),
        429: too_often,
    }
    told = {status: json.loads(bytes(answer.body)) for status, answer in answers.items()}
    return told | {503: _told(_AWAY), 507: _told(no_room(49_999_731_288, 50 * 10**9))}


def _told(error: BrokerError) -> dict[str, Any]:
    return details_of(error).model_dump(mode="json")


def _longest(table: Mapping[str, Said], path: str) -> Said:
    fitting = [begin for begin in table if path.startswith(begin)]
    if not fitting:
        raise KeyError(f"{__name__} says nothing of {path}")
    return table[max(fitting, key=len)]
