"""A route and a status → the problem that it would answer with, said by what really says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from broker.api import browsers, guard, limits
from broker.api.errors import details_of
from broker.api.examples.jobs import BLOB
from broker.api.examples.past import ARRAY_ID, JOB_ID, PROJECT
from broker.api.examples.tenancy import TOKEN_ID
from broker.decide.throttle import Bucket, take
from broker.model.errors import BrokerError, Conflict, InvalidInput, PriceMissing, Problem, StoreAway, UnknownName
from broker.model.tokens import Scope

Said = TypeVar("Said")

_AWAY: Final = StoreAway(
    "store postgresql://broker@db/broker: it does not answer: check that the database runs and the URL is right "
    "(connection refused)"
)
_NO_PROJECT: Final = UnknownName(Problem(field="project", message=f"there is no project {PROJECT!r}"))
_CONFIGURED: Final = Conflict("the budget 'vision-month' is the configuration's: change it there")
_NO_PRICES: Final = PriceMissing("no price source is installed: `pip install gpu-broker` brings the catalog")
_OTHER_CONTENT: Final = Conflict(
    f"{JOB_ID} was submitted before with another content: choose another id, or submit the same again"
)

# By operation, path, or how paths begin; the longest that fits counts.
_NOT_THERE: Final[Mapping[str, BrokerError]] = {
    "": _NO_PROJECT,
    "/v1/jobs/{id}": UnknownName(f"there is no job {JOB_ID!r}"),
    "/v1/results": UnknownName(f"there is no array {ARRAY_ID!r}"),
    "/v1/blobs/{sha256}": UnknownName(f"there is no blob {BLOB!r}"),
    "/v1/budgets/{name}": UnknownName("there is no budget 'vision-month'; there are: none"),
    "DELETE /v1/budgets/{name}": UnknownName("there is no budget 'vision-month' in the store"),
    "/v1/breakeven": UnknownName("H1000: is no known GPU (did you mean 'H100'?)"),
    "/v1/demand": UnknownName("there is no pool 'rey'; there are modal, ray"),
    "/v1/forecast": UnknownName("there is no pool 'rey'; there are modal, ray"),
    "/v1/accuracy": UnknownName("there is no pool 'rey'; there are modal, ray"),
    "/v1/counterfactual": UnknownName("there is no pool 'rey'; there are modal, ray"),
    "/v1/tokens/{id}": UnknownName(f"there is no token {TOKEN_ID!r}: `broker token list` shows them"),
    "PUT /v1/projects/{name}": UnknownName(f"there is no project {PROJECT!r}"),
    "DELETE /v1/projects/{name}": UnknownName(f"there is no project {PROJECT!r}"),
    "/v1/schedules/{name}": UnknownName("there is no schedule 'nightly': `broker schedule list` shows them"),
    "/v1/secrets/{name}": UnknownName("there is no secret 'HF_TOKEN': `broker secret list` shows them"),
    "/v1/volumes/{name}": UnknownName(
        "there is no volume 'checkpoints': `broker volume list` shows them, `broker volume create` makes one"
    ),
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
    "/v1/schedules/{name}": Conflict("the schedule 'nightly' was changed by somebody else meanwhile"),
    "/v1/secrets": Conflict("this broker's secrets are kept elsewhere: set them there"),
    "/v1/volumes": Conflict("there is a volume 'checkpoints': use it, or choose another name"),
    "/v1/volumes/{name}": Conflict(
        f"the volume 'checkpoints' is in use by {JOB_ID}: cancel what uses it, or wait for its end"
    ),
    "/v1/shutdown": Conflict(
        "this process only answers: `broker down` at a broker ends that one, SIGTERM ends this one"
    ),
}
_EXTRA: Final = "extra inputs are not permitted"
_NAME: Final = "string should match pattern '^[a-z0-9][a-z0-9_-]{0,39}$'"
_WRONG: Final[Mapping[str, Problem]] = {
    "": Problem(field="limit", message="input should be greater than or equal to 1"),
    "/v1/jobs": Problem(field="gpuz", message="unknown field (did you mean 'gpu'?)"),
    "/v1/jobs:batch": Problem(field="jobs[1].gpuz", message="unknown field (did you mean 'gpu'?)"),
}


def problem(operation: str, status: int) -> dict[str, Any]:
    """What `METHOD /path` answers with this status. Raises KeyError where no route does."""
    method, _, path = operation.partition(" ")
    tables: dict[int, Mapping[str, BrokerError]] = {404: _NOT_THERE, 409: _CONTRADICTS}
    if status in tables:
        return _told(tables[status].get(operation) or _longest(tables[status], path))
    if status == 422:
        return _told(InvalidInput(_WRONG.get(operation) or _longest(_WRONG, path)))
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
    return told | {503: _told(_AWAY)}


def _told(error: BrokerError) -> dict[str, Any]:
    return details_of(error).model_dump(mode="json")


def _longest(table: Mapping[str, Said], path: str) -> Said:
    return table[max((begin for begin in table if path.startswith(begin)), key=len)]
