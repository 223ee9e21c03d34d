"""Projects over HTTP: who sees what, who may do what, and that what is not theirs to see is not there."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from broker.model.tokens import Scope
from tests.api.conftest import House
from tests.api.test_tokens import client, made, routes


@pytest.fixture
async def owner(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client(house) as found:
        yield found


async def project(owner: httpx.AsyncClient, name: str, **members: str) -> None:
    assert (await owner.post("/v1/projects", json={"name": name})).status_code == 201
    for user, role in members.items():
        answer = await owner.put(f"/v1/projects/{name}/members/{user}", json={"role": role})
        assert answer.json()["members"][user] == role


async def submit(asked: httpx.AsyncClient, project: str | None, **fields: object) -> httpx.Response:
    return await asked.post("/v1/jobs", json={"run": "true", "project": project, **fields})


async def test_without_projects_everybody_sees_everything(house: House, owner) -> None:
    job = (await submit(owner, None)).json()["id"]
    async with client(house, await made(house, Scope.READ)) as mia:
        assert (await mia.get(f"/v1/jobs/{job}")).json()["project"] == "default"
        assert (await mia.get("/v1/spend")).status_code == 200
        assert [each["name"] for each in (await mia.get("/v1/projects")).json()["projects"]] == ["default"]


async def test_what_is_not_theirs_to_see_is_as_if_it_were_not_there(house: House, owner) -> None:
    await project(owner, "vision", mia="submitter")
    await project(owner, "secret")
    hidden = (await submit(owner, "secret", array=2)).json()["id"]
    async with client(house, await made(house, Scope.SUBMIT)) as mia:
        mine = (await submit(mia, "vision")).json()["id"]
        listed = (await mia.get("/v1/jobs")).json()["items"]
        assert [each["id"] for each in listed] == [mine]
        assert {each["name"] for each in (await mia.get("/v1/projects")).json()["projects"]} == {"default", "vision"}
        for method, path in routes(house):
            if "/jobs/{id}" not in path:
                continue
            for real, unreal in ((hidden, "zzz"), (f"{hidden}.0", "zzz.0")):
                answers = [await mia.request(method, path.format(id=id)) for id in (real, unreal)]
                assert [answer.status_code for answer in answers] == [404, 404], f"{method} {path}"
                said = [answer.text.replace(id, "ID") for answer, id in zip(answers, (real, unreal), strict=True)]
                assert said[0] == said[1], f"{method} {path}"
        for path in ("/v1/jobs", "/v1/spend", "/v1/events"):
            answers = [await mia.get(path, params={"project": name}) for name in ("secret", "nothing")]
            assert [answer.status_code for answer in answers] == [404, 404], path
            assert answers[0].text.replace("secret", "nothing") == answers[1].text
        for name in ("secret", "nothing"):
            refused = await submit(mia, name)
            assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "project")
            batch = await mia.post("/v1/jobs:batch", json={"jobs": [{"run": "true"}, {"run": "true", "project": name}]})
            assert (batch.status_code, batch.json()["problems"][0]["field"]) == (422, "jobs[1].project")
            assert (await mia.get(f"/v1/projects/{name}")).status_code == 404
            assert (await mia.put(f"/v1/projects/{name}/members/mia", json={})).status_code == 404
    assert {each["project"] for each in (await owner.get("/v1/jobs")).json()["items"]} == {"vision", "secret"}


@pytest.mark.parametrize("role", ["viewer", "submitter", "admin"])
async def test_a_role_is_good_for_what_it_says(house: House, owner, role: str) -> None:
    await project(owner, "vision", mia=role)
    hers = (await submit(owner, "vision")).json()["id"]
    async with client(house, await made(house, Scope.SUBMIT)) as mia:
        assert (await mia.get(f"/v1/jobs/{hers}")).status_code == 200
        assert (await submit(mia, "vision")).status_code == (403 if role == "viewer" else 201)
        assert (await mia.post(f"/v1/jobs/{hers}/cancel")).status_code == (202 if role == "admin" else 403)
        asked = await mia.put("/v1/projects/vision/members/ben", json={"role": "viewer"})
        assert asked.status_code == (200 if role == "admin" else 403)
        assert (await mia.put("/v1/projects/vision", json={"weight": 9})).status_code == 403
        assert (await mia.delete("/v1/projects/vision")).status_code == 403


async def test_a_scope_is_not_widened_by_a_role(house: House, owner) -> None:
    await project(owner, "vision", mia="admin")
    async with client(house, await made(house, Scope.READ)) as mia:
        assert (await submit(mia, "vision")).status_code == 403
        assert (await mia.put("/v1/projects/vision/members/ben", json={})).status_code == 403


async def test_whoever_leaves_sees_nothing_more(house: House, owner) -> None:
    await project(owner, "vision", mia="submitter")
    async with client(house, await made(house, Scope.SUBMIT)) as mia:
        mine = (await submit(mia, "vision")).json()["id"]
        assert (await owner.delete("/v1/projects/vision/members/mia")).status_code == 200
        assert (await mia.get(f"/v1/jobs/{mine}")).status_code == 404
        assert (await mia.post(f"/v1/jobs/{mine}/cancel")).status_code == 404


async def test_budgets_and_schedules_of_others_are_hidden(house: House, owner) -> None:
    await project(owner, "vision", mia="submitter")
    await project(owner, "secret")
    for name, scope in {"all": {}, "ours": {"project": "vision"}, "mias": {"user": "mia"}}.items():
        await owner.put(f"/v1/budgets/{name}", json={"limit": "5", **scope})
    for name in ("vision", "secret"):
        job = {"run": "true", "project": name}
        await owner.post("/v1/schedules", json={"name": name, "cron": "@daily", "job": job, "paused": True})
    async with client(house, await made(house, Scope.SUBMIT)) as mia:
        assert {each["name"] for each in (await mia.get("/v1/budgets")).json()["budgets"]} == {"ours", "mias"}
        assert [(await mia.get(f"/v1/budgets/{name}")).status_code for name in ("all", "ours")] == [404, 200]
        assert set(re.findall(r'left_usd{budget="(\w+)"', (await mia.get("/metrics")).text)) == {"ours", "mias"}
        assert set(re.findall(r'left_usd{budget="(\w+)"', (await owner.get("/metrics")).text)) == {
            "all",
            "ours",
            "mias",
        }
        assert [each["name"] for each in (await mia.get("/v1/schedules")).json()["schedules"]] == ["vision"]
        for method, path in routes(house):
            if "/schedules/{name}" in path:
                answers = [await mia.request(method, path.format(name=name)) for name in ("secret", "nothing")]
                assert [answer.status_code for answer in answers] == [404, 404], f"{method} {path}"
                assert answers[0].text.replace("secret", "nothing") == answers[1].text, f"{method} {path}"
        job = {"run": "true", "project": "secret"}
        made_up = await mia.post("/v1/schedules", json={"name": "mine", "cron": "@daily", "job": job})
        assert (made_up.status_code, made_up.json()["problems"][0]["field"]) == (422, "project")


async def test_a_project_is_changed_whole_and_deleted_when_nothing_of_it_runs(house: House, owner) -> None:
    wish = {"weight": 2, "max_priority": 70, "quota": {"gpus": {"a100:80gb": 8}, "jobs_queued": 5}}
    assert (await owner.post("/v1/projects", json={"name": "vision", "weight": 0})).status_code == 422
    assert (await owner.put("/v1/projects/vision", json=wish)).status_code == 404
    await project(owner, "vision", mia="admin")
    assert (await owner.post("/v1/projects", json={"name": "vision"})).status_code == 409
    found = (await owner.put("/v1/projects/vision", json=wish)).json()
    assert found["quota"] == {"gpus": {"A100-80GB": 8.0}, "jobs_running": None, "jobs_queued": 5}
    assert (found["weight"], found["max_priority"], found["members"]) == (2.0, 70, {"mia": "admin"})
    job = (await submit(owner, "vision")).json()["id"]
    assert (await owner.delete("/v1/projects/vision")).status_code == 409
    await house.end(job)
    left = await owner.delete("/v1/projects/vision")
    assert [each["name"] for each in left.json()["projects"]] == ["default"]
    assert (await submit(owner, "vision")).status_code == 422
