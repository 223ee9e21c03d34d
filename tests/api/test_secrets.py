"""Secrets as a client sets them, and that no answer has their value."""

import json

import httpx
import pytest

from broker.api.app import create_app
from broker.api.guard import needed_for
from broker.model.errors import UnknownName
from broker.model.projects import Project
from broker.model.tokens import Scope
from broker.run.secrecy.keys import Keys
from broker.run.secrecy.secrets import Secrets, check_project
from broker.run.service import Service
from broker.run.settings.secrets import ConfiguredSecrets
from tests.api.conftest import House

VALUE = "s3cr3t-94817-s3cr3t"


@pytest.fixture
def sealing(house: House) -> House:
    """The house with secrets in its store."""
    configured = ConfiguredSecrets(prefix="P_", environment={})
    house.broker.secrets = Secrets(house.store, Keys(house.state_dir / "secrets.key"), configured)
    house.service = Service(house.broker)
    return house


@pytest.fixture
async def asked(sealing: House):
    transport = httpx.ASGITransport(create_app(sealing.service))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", timeout=None) as client:
        yield client


async def test_it_is_set_listed_replaced_and_removed_and_its_value_is_in_no_answer(sealing: House, asked) -> None:
    answers = [await asked.put("/v1/secrets/TOKEN", json={"value": VALUE}, headers={"Broker-User": "mia"})]
    assert (answers[0].status_code, answers[0].json()["version"], answers[0].json()["user"]) == (200, 1, "mia")
    answers.append(await asked.put("/v1/secrets/TOKEN", json={"value": VALUE + "2"}))
    assert answers[1].json()["version"] == 2
    answers.append(await asked.get("/v1/secrets"))
    assert [each["version"] for each in answers[2].json()["secrets"]] == [2]
    shown = await asked.get("/v1/secrets/TOKEN")
    assert shown.json() == answers[2].json()["secrets"][0]
    assert sealing.broker.secrets.values(["TOKEN"]) == {"TOKEN": VALUE + "2"}
    answers.append(await asked.post("/v1/secrets/rotate-key"))
    assert answers[3].json() == {"sealed": 2}
    assert sealing.broker.secrets.values(["TOKEN"]) == {"TOKEN": VALUE + "2"}
    answers.append(await asked.delete("/v1/secrets/TOKEN"))
    assert answers[4].json() == {"secrets": []}
    gone = [await asked.request(method, "/v1/secrets/TOKEN") for method in ("DELETE", "GET")]
    assert [answer.status_code for answer in gone] == [404, 404]
    assert gone[0].text == gone[1].text
    assert VALUE not in "".join(answer.text for answer in answers)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("TOKEN", {"value": VALUE, "colour": VALUE}),
        ("TOKEN", {"value": [VALUE]}),
        ("TOKEN", {"value": VALUE + "\0"}),
        ("TOKEN", {"value": VALUE * 10_000}),
        ("TOKEN", {"value": ""}),
        ("TOKEN", [VALUE]),
        ("BROKER_TOKEN", {"value": VALUE}),
        ("TO-KEN", {"value": VALUE}),
    ],
)
async def test_what_can_t_be_is_refused_without_a_word_of_it(asked, name: str, body: object) -> None:
    answer = await asked.put(f"/v1/secrets/{name}", json=body)
    assert answer.status_code == 422, answer.text
    assert VALUE not in answer.text
    broken = await asked.put(f"/v1/secrets/{name}", content=json.dumps(body)[:-3])
    assert (broken.status_code, VALUE in broken.text) == (422, False)


def test_others_may_look_and_only_an_admin_may_change() -> None:
    assert needed_for("GET", "/v1/secrets") is Scope.READ
    for method, path in (("PUT", "TOKEN"), ("DELETE", "TOKEN"), ("POST", "rotate-key")):
        assert needed_for(method, f"/v1/secrets/{path}") is Scope.ADMIN


async def test_a_secret_of_a_project_is_its_jobs_alone(sealing: House, asked) -> None:
    await sealing.broker.projects.create(Project(name="vision", created_ns=1))
    assert (await asked.put("/v1/secrets/TOKEN", json={"value": VALUE, "projects": ["none"]})).status_code == 422
    made = await asked.put("/v1/secrets/TOKEN", json={"value": VALUE, "projects": ["vision"]})
    assert made.json()["projects"] == ["vision"]
    found = sealing.store.sealed(["TOKEN"])
    check_project(found, "vision")
    with pytest.raises(UnknownName, match="the project default has no secret TOKEN"):
        check_project(found, "default")
    assert await sealing.service.secrets.every({"default"}) == ()
    assert len(await sealing.service.secrets.every({"vision"})) == 1
    refused = await asked.post("/v1/jobs", json={"run": "true", "secrets": ["TOKEN"]})
    assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "secrets")
    assert "the project default has no secret TOKEN" in refused.text
    await asked.put("/v1/secrets/TOKEN", json={"value": VALUE})
    check_project(sealing.store.sealed(["TOKEN"]), "default")


async def test_a_job_is_refused_at_once_where_a_secret_that_it_names_has_no_value(sealing: House, asked) -> None:
    await asked.put("/v1/secrets/TOKEN", json={"value": VALUE})
    job = {"id": "mine", "run": "true", "secrets": ["TOKEN", "OTHER", "THIRD"]}
    for path, body in (
        ("/v1/jobs", job),
        ("/v1/jobs:batch", {"jobs": [job]}),
        ("/v1/offers", job),
        ("/v1/schedules", {"name": "nightly", "cron": "@daily", "job": {key: job[key] for key in ("run", "secrets")}}),
    ):
        refused = await asked.post(path, json=body)
        assert refused.status_code == 422, refused.text
        found = [(each["field"], each["message"].split(":")[0]) for each in refused.json()["problems"]]
        assert [message for _, message in found] == ["secret OTHER has no value", "secret THIRD has no value"]
        assert all(field.endswith("secrets") for field, _ in found)
        assert VALUE not in refused.text
    for name in ("OTHER", "THIRD"):
        await asked.put(f"/v1/secrets/{name}", json={"value": VALUE})
    assert (await asked.post("/v1/offers", json=job)).status_code == 200
    assert (await asked.post("/v1/jobs", json=job)).status_code == 201
    await asked.delete("/v1/secrets/OTHER")
    assert (await asked.post("/v1/jobs", json=job)).status_code == 200, "it is found again"


async def test_a_broker_whose_secrets_are_elsewhere_says_so(http) -> None:
    assert (await http.put("/v1/secrets/TOKEN", json={"value": VALUE})).status_code == 409
