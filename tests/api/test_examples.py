"""Every operation has examples of what it takes and answers; they are valid and consistent, and a broker obeys."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
from jsonschema import Draft202012Validator

from broker.api.app import create_app
from broker.api.errors import MEDIA_TYPE
from broker.api.examples.answers import ANSWERS
from broker.api.examples.bodies import BODIES
from broker.api.examples.past import ARRAY_ID, JOB_ID, PROJECT
from broker.api.examples.pools import POOLS
from broker.api.schemas import ShutdownWish
from broker.api.studies import PlanWish, SimulationWish
from broker.api.volumes import OwnerWish, ShareWish, VolumeWish
from broker.run.secrecy.keys import Keys
from broker.run.secrecy.secrets import Secrets
from broker.run.service import Service
from broker.run.settings.secrets import ConfiguredSecrets
from broker.testing.fakes import FakeExecutor
from tests.api.conftest import House

BYTES = "application/octet-stream"
# The pools of the examples, as large as they say, in which nothing really runs; their prices hold on any day.
STAND_INS = tuple(
    replace(
        pool,
        executor="fake",
        capabilities=FakeExecutor.capabilities,
        offers=tuple(replace(offer, valid_from=date(2020, 1, 1)) for offer in pool.offers),
    )
    for pool in POOLS
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(create_app(MagicMock()).openapi()))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def valid(document: dict[str, Any], schema: dict[str, Any], value: object, where: str) -> None:
    checked = Draft202012Validator({**schema, "components": document["components"]})
    assert [error.message for error in checked.iter_errors(value)] == [], f"{where}: {value}"


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from operation.get("requestBody", {}).get("content", {}).items()


def answers(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        for media, content in answer["content"].items():
            yield status, media, content


def test_every_body_and_every_answer_has_an_example_that_is_valid(document) -> None:
    for name, operation in operations(document):
        for media, content in bodies(operation):
            assert content["examples"], f"{name} {media}"
            for title, example in content["examples"].items():
                valid(document, content["schema"], example["value"], f"{name} {title}")
        for status, media, content in answers(operation):
            assert "example" in content, f"{name} {status} {media}"
            valid(document, content["schema"], content["example"], f"{name} {status}")


def test_every_parameter_has_an_example_or_says_enough_and_examples_are_valid(document) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            schema, where = parameter["schema"], f"{name} {parameter['name']}"
            if "example" in parameter:
                valid(document, schema, parameter["example"], where)
            else:
                assert not parameter["required"] and schema.get("default") is not None, where


def test_problems_have_the_status_under_which_they_stand(document) -> None:
    for name, operation in operations(document):
        for status, media, content in answers(operation):
            assert (media == MEDIA_TYPE) == (status[0] in "45"), f"{name} {status}"
            if media == MEDIA_TYPE:
                assert content["example"]["status"] == int(status), name
                assert content["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}, name


def test_no_example_is_left_of_an_operation_that_there_is_not(document) -> None:
    there = {name for name, _ in operations(document)}
    assert {" ".join(name.split()[:2]) for name in (*ANSWERS, *BODIES)} == there


def example(document: dict[str, Any], name: str, status: str = "200", media: str = "application/json") -> Any:
    method, path = name.split()
    return document["paths"][path][method.lower()]["responses"][status]["content"][media]["example"]


def test_the_money_adds_up_and_one_job_is_told_of_throughout(document) -> None:
    job = example(document, "GET /v1/jobs/{id}")
    assert job["id"] == example(document, "POST /v1/jobs", "201")["id"] == JOB_ID
    assert job["cost"]["nanodollars"] == sum(each["amount"]["nanodollars"] for each in job["charges"]) > 0
    assert job["predicted"] == job["placement"]["chosen"]["full"]
    listed = example(document, "GET /v1/jobs")["items"][1]
    assert listed == {key: job[key] for key in listed}
    assert example(document, "POST /v1/offers") == job["placement"]
    spend = example(document, "GET /v1/spend")
    for part in ("job", "overhead", "total"):
        assert spend["total"][part]["nanodollars"] == sum(row[part]["nanodollars"] for row in spend["rows"])
    pools = {each["name"] for each in example(document, "GET /v1/pools")["pools"]}
    assert {row["group"]["pool"] for row in spend["rows"]} == pools == {pool.name for pool in POOLS}
    budget = example(document, "GET /v1/budgets/{name}")
    assert budget["left"]["nanodollars"] == budget["limit"]["nanodollars"] - budget["spent"]["nanodollars"]
    assert {job["project"], budget["project"], example(document, "GET /v1/projects/{name}")["name"]} == {PROJECT}


@pytest.fixture
def sealing(house: House) -> House:
    """The house with the pools of the examples and secrets in its store."""
    configured = ConfiguredSecrets(prefix="P_", environment={})
    house.broker.secrets = Secrets(house.store, Keys(house.state_dir / "secrets.key"), configured)
    house.service = Service(house.broker)
    return house


@pytest.fixture
async def asked(sealing: House) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(sealing.service))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", timeout=None) as client:
        yield client


def filled(document: dict[str, Any], name: str) -> tuple[str, str]:
    """Method and path of an operation with the examples of its parameters."""
    method, path = name.split()
    for parameter in document["paths"][path][method.lower()].get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    return method, path


# In this order each finds what it is about; the others end the broker, compute for long, need volumes or real pickles.
OBEYED = (
    "POST /v1/projects",
    "PUT /v1/projects/{name}",
    "PUT /v1/projects/{name}/members/{user}",
    "POST /v1/tokens",
    "PUT /v1/secrets/{name}",
    "PUT /v1/budgets/{name}",
    "PUT /v1/blobs/{sha256}",
    "POST /v1/offers",
    "POST /v1/jobs",
    "POST /v1/jobs:batch",
    "POST /v1/schedules",
    "PATCH /v1/schedules/{name}",
)
NOT_HERE = {
    "POST /v1/plan": PlanWish,
    "POST /v1/simulate": SimulationWish,
    "POST /v1/shutdown": ShutdownWish,
    "POST /v1/volumes": VolumeWish,
    "PATCH /v1/volumes/{name}": OwnerWish,
    "PUT /v1/volumes/{name}/shares/{project}": ShareWish,
}
BINARY = {"POST /v1/calls"}


def test_bodies_that_no_broker_is_sent_here_are_what_their_models_take() -> None:
    for name, model in NOT_HERE.items():
        for title, sent in BODIES[name].items():
            assert model.model_validate(sent).model_fields_set == sent.keys(), f"{name} {title}"


@pytest.mark.parametrize("pools", [STAND_INS])
async def test_a_broker_with_these_pools_takes_every_body(document, asked: httpx.AsyncClient) -> None:
    assert {*OBEYED, *NOT_HERE, *BINARY} == {*BODIES}
    for name in OBEYED:
        method, path = filled(document, name)
        operation = document["paths"][name.split()[1]][method.lower()]
        for media, content in bodies(operation):
            for title, sent in content["examples"].items():
                text = sent["value"] if media == BYTES else json.dumps(sent["value"])
                answer = await asked.request(method, path, content=text, headers={"Content-Type": media})
                assert answer.is_success, f"{name} {title}: {answer.text}"
                shown = example(document, name, str(answer.status_code))
                assert answer.json().keys() == shown.keys(), name
                if "Location" in operation["responses"][str(answer.status_code)].get("headers", ()):
                    assert (await asked.get(answer.headers["Location"])).is_success, name


@pytest.mark.parametrize("pools", [STAND_INS])
async def test_a_broker_that_has_nothing_says_404_in_these_words(document, asked: httpx.AsyncClient) -> None:
    said, shown = {}, {}
    for name, operation in operations(document):
        method, path = filled(document, name)
        if "404" not in operation["responses"] or "{" not in name:
            continue
        body = next(iter(bodies(operation)), (None, None))[1]
        sent = next(iter(body["examples"].values()))["value"] if body else None
        path = path.replace("/pools/ray", "/pools/rey")  # of pools, it has one of this name
        answer = await asked.request(method, path, json=sent)
        said[name], shown[name] = answer.json(), example(document, name, "404", MEDIA_TYPE)
    assert said == shown
    assert len(said) > 20


NAMELESS = "Not-A-Name"  # what stands for a name in a path, where nothing else can be wrong
# A request that is wrong, for each operation that says how it refuses one.
WRONG: dict[str, dict[str, Any]] = {
    "POST /v1/jobs": {"json": {"run": "true", "gpuz": "H100"}},
    "POST /v1/jobs:batch": {"json": {"jobs": [{"run": "true"}, {"run": "true", "gpuz": "H100"}]}},
    "POST /v1/offers": {"json": {"run": "true", "gpuz": "H100"}},
    "POST /v1/calls": {"content": b'{"run": "true"}\n'},
    "GET /v1/jobs": {"params": {"limit": 0}},
    "GET /v1/audit": {"params": {"limit": 0}},
    "GET /v1/jobs/{id}/logs": {"params": {"limit": 0}},
    "GET /v1/jobs/{id}/wait": {"params": {"timeout_s": -1}},
    "GET /v1/jobs/{id}/follow": {"headers": {"Last-Event-ID": "x"}},
    "GET /v1/results": {"params": {"of": "A"}},
    "GET /v1/events": {"headers": {"Last-Event-ID": "x"}},
    "GET /v1/spend": {"params": {"period": "never"}},
    "GET /v1/demand": {"params": {"period": "never"}},
    "GET /v1/accuracy": {"params": {"period": "never"}},
    "GET /v1/counterfactual": {"params": {"period": "never"}},
    "GET /v1/jobs/{id}/explain": {},
    "GET /v1/jobs/{id}/result": {},
    "GET /v1/forecast": {"params": {"max_age_s": -1}},
    "GET /v1/prices": {"params": {"gpu": ""}},
    "GET /v1/breakeven": {"params": {"gpu": "H100", "job_s": 0}},
    "GET /v1/budgets": {"params": {"project": ""}},
    "GET /v1/schedules": {"params": {"project": ""}},
    "GET /v1/secrets": {"params": {"project": ""}},
    "GET /v1/volumes": {"params": {"project": ""}},
    "GET /v1/plan": {"params": {"days": 0}},
    "POST /v1/plan": {"json": {"demandd": ""}},
    "POST /v1/simulate": {"json": {"scenarios": []}},
    "PUT /v1/budgets/{name}": {"json": {"limit": "5", "period": "hour"}},
    "PUT /v1/projects/{name}": {"json": {"weight": 0}},
    "PUT /v1/projects/{name}/members/{user}": {"json": {"role": "boss"}},
    "PUT /v1/secrets/{name}": {"json": {"value": ""}},
    "POST /v1/tokens": {"json": {"scope": "read"}},
    "POST /v1/projects": {"json": {"name": NAMELESS}},
    "POST /v1/schedules": {"json": {"name": "nightly", "cron": "every night", "job": {"run": "true"}}},
    "PATCH /v1/schedules/{name}": {"json": {"cronn": ""}},
    "POST /v1/volumes": {"json": {"name": "checkpoints", "place": "the-moon", "project": "default"}},
    "PATCH /v1/volumes/{name}": {"json": {}},
    "PUT /v1/volumes/{name}/shares/{project}": {"json": {"access": "all"}},
    "POST /v1/shutdown": {"json": {"mode": "later"}},
}


NOT_TRIED = {"POST /v1/jobs/{id}/retry"}  # a job that failed and could not be taken any more


@pytest.mark.parametrize("pools", [STAND_INS])
async def test_a_broker_refuses_what_is_wrong_in_these_words(document, asked: httpx.AsyncClient) -> None:
    assert (await asked.post("/v1/jobs", json={"id": ARRAY_ID, "run": "true", "array": 20})).status_code == 201
    nightly = {"name": "nightly", "cron": "@daily", "job": {"run": "true"}}
    assert (await asked.post("/v1/schedules", json=nightly)).status_code == 201
    said, shown = {}, {}
    for name, operation in operations(document):
        if "422" not in operation["responses"] or name in NOT_TRIED:
            continue
        method, path = filled(document, name)
        wrong = WRONG.get(name, {})
        if name not in WRONG and ("{" not in name or "{id}" in name):  # any id will do for one
            wrong = {"params": {"perod": "7d"}}
        elif name not in WRONG:
            path = (
                name.split()[1]
                .replace("{user}", "mia")
                .replace("{name}", NAMELESS)
                .replace("{sha256}", "0")
                .replace("{project}", "*")
            )
        answer = await asked.request(method, path.replace(JOB_ID, ARRAY_ID), **wrong)
        said[name], shown[name] = answer.json(), example(document, name, "422", MEDIA_TYPE)
    assert said == shown
    assert len(said) > 45
