"""Schedules as a client makes, sees, pauses, fires and removes them."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from broker.api.app import create_app
from broker.model.tokens import Scope
from tests.api.conftest import House
from tests.api.test_tokens import client
from tests.api.test_tokens import made as token

JOB = {"run": "echo hi"}


async def made(http: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    body = {"name": "nightly", "cron": "0 2 * * *", "job": JOB, **wish}
    answer = await http.post("/v1/schedules", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_it_is_made_shown_and_listed_with_its_next_times(http) -> None:
    found = await made(http, timezone="Europe/Berlin", concurrency="forbid", starting_deadline="1h", jitter="10m")
    assert (found["in_words"], found["concurrency"]) == ("At 02:00 every day", "forbid")
    assert (found["starting_deadline_s"], found["jitter_s"], found["last"]) == (3_600, 600, [])
    assert found["job"] == {**found["job"], "run": "echo hi", "name": "nightly"}
    assert len(found["next"]) == 5
    assert all(datetime.fromisoformat(time) > datetime.now(UTC) for time in found["next"])
    assert (await http.get("/v1/schedules/nightly")).json() == found
    assert (await http.get("/v1/schedules")).json() == {"schedules": [found]}


async def test_it_is_paused_resumed_and_removed(http) -> None:
    await made(http)
    assert (await http.post("/v1/schedules/nightly/pause")).json()["next"] == []
    assert len((await http.post("/v1/schedules/nightly/resume")).json()["next"]) == 5
    assert (await http.delete("/v1/schedules/nightly")).json() == {"schedules": []}
    for answer in (await http.get("/v1/schedules/nightly"), await http.delete("/v1/schedules/nightly")):
        assert (answer.status_code, "schedule list" in answer.text) == (404, True)


async def test_what_is_given_is_changed_and_the_rest_stays(house: House, http) -> None:
    before = await made(http, timezone="Europe/Berlin", starting_deadline="1h", jitter="10m", catch_up="all")
    await http.post("/v1/schedules/nightly/run")
    mine = house.store.schedule("nightly")
    for change, seen in (
        ({"cron": "30 3 * * *"}, {"cron": "30 3 * * *", "in_words": "At 03:30 every day"}),
        ({"concurrency": "forbid", "jitter": 0}, {"concurrency": "forbid", "jitter_s": 0}),
        ({"starting_deadline": None}, {"starting_deadline_s": None}),
        ({"paused": True}, {"paused": True, "next": []}),
        ({"job": {"run": "echo other", "name": "other"}}, {}),
        ({}, {}),
    ):
        answer = await http.patch("/v1/schedules/nightly", json=change)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        for name in before.keys() - seen.keys() - {"job", "next", "last"}:
            assert found[name] == before[name]
        assert seen.items() <= found.items()
        before = found
    now = house.store.schedule("nightly")
    assert (now.id, now.user, now.created_ns) == (mine.id, mine.user, mine.created_ns)
    assert (found["job"]["run"], found["job"]["name"], len(found["last"])) == ("echo other", "other", 1)


async def test_new_times_count_from_now_and_others_do_not_begin_anew(house: House, http) -> None:
    await made(http, cron="0 2 1 1 *")
    first = house.store.schedule("nightly").decided_ns
    await http.patch("/v1/schedules/nightly", json={"concurrency": "replace"})
    assert house.store.schedule("nightly").decided_ns == first
    await http.patch("/v1/schedules/nightly", json={"cron": "0 0 * * *"})
    assert house.store.schedule("nightly").decided_ns > first


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": "0 25 * * *"}, "cron"),
        ({"timezone": "Europe/Bonn"}, "timezone"),
        ({"jitter": "2d"}, "jitter"),
        ({"concurrency": "maybe"}, "concurrency"),
        ({"kron": "@daily"}, "kron"),
        ({"job": {"run": "true", "resources": {"accelerators": "B200"}}}, "resources.accelerators"),
    ],
)
async def test_a_change_that_can_not_be_is_refused_and_nothing_is_changed(http, change: Any, field: str) -> None:
    before = await made(http)
    answer = await http.patch("/v1/schedules/nightly", json=change)
    assert answer.status_code == 422
    assert field in answer.text
    assert (await http.get("/v1/schedules/nightly")).json() == before


async def test_it_is_fired_by_hand_also_while_it_is_paused(http) -> None:
    await made(http, paused=True)
    fired = (await http.post("/v1/schedules/nightly/run")).json()
    assert (fired["state"], fired["by_hand"], fired["reason"]) == ("submitted", True, "")
    job = (await http.get(f"/v1/jobs/{fired['job_id']}")).json()
    assert job["tags"] == {"schedule": "nightly"}
    assert (await http.get("/v1/schedules/nightly")).json()["last"] == [fired]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"cron": "0 25 * * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"timezone": "Europe/Bonn"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "Europe"}, "timezone"),
        ({"concurrency": "queue"}, "concurrency"),
        ({"jitter": "2d"}, "jitter"),
        ({"starting_deadline": "soon"}, "starting_deadline"),
        ({"name": "Nightly!"}, "name"),
        ({"colour": "red"}, "colour"),
        ({"job": {"run": "true", "id": "mine"}}, "job.id"),
        ({"job": {"run": "true", "deadline": "2040-01-01T00:00:00Z"}}, "job.deadline"),
        ({"job": {}}, "run"),
        ({"job": {"run": "true", "gpus": "T4"}}, "resources.accelerators"),
    ],
)
async def test_what_can_t_be_is_refused_by_field_and_nothing_is_stored(http, wish: dict, field: str) -> None:
    answer = await http.post("/v1/schedules", json={"name": "nightly", "cron": "0 2 * * *", "job": JOB, **wish})
    assert answer.status_code == 422, answer.text
    assert any(field in problem["field"] + problem["message"] for problem in answer.json()["problems"])
    assert (await http.get("/v1/schedules")).json() == {"schedules": []}


async def test_a_name_is_given_once(http) -> None:
    await made(http)
    answer = await http.post("/v1/schedules", json={"name": "nightly", "cron": "@daily", "job": JOB})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:gpu-broker:conflict")


async def test_who_may_only_see_a_project_any_more_has_nothing_submitted_there(house: House) -> None:
    async with client(house) as owner, client(house, await token(house, Scope.SUBMIT)) as mia:
        await owner.post("/v1/projects", json={"name": "vision"})
        await owner.put("/v1/projects/vision/members/mia", json={"role": "submitter"})
        await made(mia, job={**JOB, "project": "vision"})
        await owner.put("/v1/projects/vision/members/mia", json={"role": "viewer"})
        for path in ("run", "resume"):
            assert (await mia.post(f"/v1/schedules/nightly/{path}")).status_code == 403
        assert (await mia.patch("/v1/schedules/nightly", json={"cron": "* * * * *"})).status_code == 403
        assert (await mia.post("/v1/schedules/nightly/pause")).status_code == 200
        assert (await owner.get("/v1/jobs")).json()["items"] == []


async def test_only_its_owner_and_an_admin_may_change_it(house: House) -> None:
    transport = httpx.ASGITransport(create_app(house.service, "the-owners-token"))
    tokens = {}
    for user, scope in (("mia", Scope.SUBMIT), ("eve", Scope.SUBMIT), ("eve", Scope.READ), ("ada", Scope.ADMIN)):
        _, tokens[user, scope] = await house.service.tokens.create(user, scope, None)

    def client(user: str, scope: Scope = Scope.SUBMIT) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {tokens[user, scope]}"}
        return httpx.AsyncClient(transport=transport, base_url="http://broker", headers=headers)

    async with client("mia") as mia, client("eve") as eve, client("eve", Scope.READ) as reads:
        assert (await made(mia))["user"] == "mia"
        assert (await reads.post("/v1/schedules", json={})).status_code == 403
        assert (await eve.get("/v1/schedules/nightly")).status_code == 200
        for path in ("pause", "resume", "run"):
            assert (await eve.post(f"/v1/schedules/nightly/{path}")).status_code == 403
        assert (await eve.delete("/v1/schedules/nightly")).status_code == 403
        assert (await eve.patch("/v1/schedules/nightly", json={"cron": "@daily"})).status_code == 403
        assert (await mia.post("/v1/schedules/nightly/pause")).status_code == 200
    async with client("ada", Scope.ADMIN) as ada:
        fired = (await ada.post("/v1/schedules/nightly/run")).json()
        assert (await ada.get(f"/v1/jobs/{fired['job_id']}")).json()["user"] == "mia"
