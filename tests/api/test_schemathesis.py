"""Whatever the OpenAPI document allows, and what it forbids: no answer is a mistake of ours, and each is as described.

`SCHEMATHESIS_EXAMPLES=200 make test` (or this file alone) asks more, and other things each time.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from broker.model.jobs import AttemptState
from tests.dashboard.site import TOKEN, Site
from tests.run.past import keep_foresight

DEEP = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TIMEOUT_S = 100
ENDLESS = {"GET /v1/events"}  # of an answer that is one, there is no end to look at
PATIENT = {"timeout_s": "0", "follow": "false"}  # else an answer may take long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site"), lambda store, now_ns: keep_foresight(store, 1, now_ns)) as site:
        site.service.operations.shut_down = lambda *, drain: None  # type: ignore[method-assign]
        site.service.studies.run = computed  # type: ignore[method-assign]
        yield site


async def computed(*_: object) -> dict[str, object]:
    """In place of a process for each."""
    return {"policies": []}


@pytest.fixture(scope="module")
def ids(site: Site) -> list[str]:
    """Jobs that there are: else nearly every id would be unknown."""
    ended, failed = site.submit(name="ended"), site.submit(name="failed")
    for job, state in ((ended, AttemptState.SUCCEEDED), (failed, AttemptState.FAILED)):
        site.move(job, AttemptState.RUNNING, b"hi\n")
        site.move(job, state, exit_code=int(job == failed))
        site.do(site.service.jobs.wait(job, TIMEOUT_S))
    array = site.submit(array=2)
    site.do(site.service.jobs.cancel(array))
    return [ended, failed, array, f"{array}.0"]


def operations(site: Site) -> list[APIOperation]:
    document = requests.get(f"{site.url}/v1/openapi.json", headers=bearer(), timeout=TIMEOUT_S).json()
    schema = openapi.from_dict(document)
    schema.config.update(base_url=site.url)
    return [found.ok() for found in schema.get_all_operations()]


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


def asked(operation: APIOperation, mode: GenerationMode, ids: list[str], session: requests.Session) -> list[str]:
    """Asks many things of one route; what was wrong with the answers."""
    wrong: dict[str, str] = {}

    @settings(
        max_examples=DEEP or 8,
        derandomize=not DEEP,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode), known=st.sampled_from([None, *ids]))
    def ask(case: Case, known: str | None) -> None:
        if known is not None and "id" in (case.path_parameters or {}) and "/jobs/" in operation.path:
            case.path_parameters["id"] = known
        if operation.path.endswith(("/wait", "/logs")):
            case.query = {**(case.query or {}), **PATIENT}
        try:
            answer = case.call(session=session, headers=bearer(), timeout=TIMEOUT_S)
            if answer.content != b"Invalid HTTP request received.":  # by the server, before it is a request
                case.validate_response(answer, checks=CHECKS)
        except FailureGroup as found:
            wrong.setdefault(f"{operation.label}: {found.exceptions[0].title}", str(found))
        except requests.exceptions.InvalidHeader:
            pass  # no client can send it

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label  # it takes nothing that could be wrong
    return list(wrong.values())


@pytest.mark.timeout(None if DEEP else 280)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_every_answer_is_as_described_and_none_is_a_mistake_of_ours(site: Site, ids, mode: GenerationMode) -> None:
    found: list[Any] = []
    with requests.Session() as session:
        for operation in operations(site):
            if operation.label not in ENDLESS:
                found += asked(operation, mode, ids, session)
    assert not found, "\n\n".join(found)
