"""Volumes as a client makes, uses and removes them."""

import httpx
import pytest

from broker.model.pools import Capability, PoolKind
from broker.model.tokens import Scope
from broker.testing.fakes import FakeExecutor
from tests.api.conftest import House, pool
from tests.api.test_projects import project
from tests.api.test_tokens import client
from tests.api.test_tokens import made as token

CAN = FakeExecutor.capabilities | {Capability.VOLUMES}
POOLS = (
    pool("steady", PoolKind.CLUSTER, volumes="local", capabilities=CAN),
    pool("burst", PoolKind.SERVERLESS, volumes="modal", capabilities=CAN),
    pool("plain", PoolKind.SERVERLESS, volumes="local"),
)
JOB = {"run": "ls data", "volumes": {"/data": "sets"}}


@pytest.fixture
def pools():
    return POOLS


async def made(http, name: str = "sets", **wish: object) -> dict:
    answer = await http.post("/v1/volumes", json={"name": name, **wish})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_it_is_made_shown_listed_and_removed(house: House, http) -> None:
    volume = await made(http)
    assert (volume["place"], volume["pools"], volume["size_bytes"]) == ("local", ["steady", "plain"], 0)
    (house.state_dir / "volumes" / "sets" / "file").write_bytes(b"123")
    shown = (await http.get("/v1/volumes/sets")).json()
    assert shown["size_bytes"] == 3
    assert (await http.get("/v1/volumes")).json() == {"volumes": [shown]}
    assert (await http.delete("/v1/volumes/sets")).json() == {"name": "sets", "emptied": True}
    assert not (house.state_dir / "volumes" / "sets").exists()
    assert (await http.get("/v1/volumes/sets")).status_code == 404


async def test_a_job_runs_where_its_volume_is_and_says_why_not_elsewhere(http) -> None:
    await made(http)
    await made(http, "far", place="modal")
    near = (await http.post("/v1/offers", json=JOB)).json()
    assert near["chosen"]["pool"] == "steady"
    said = {refusal["pool"]: refusal["message"] for refusal in near["refusals"]}
    assert said["burst"] == "it needs the volume sets, which is at local; the pool has volumes at modal"
    far = (await http.post("/v1/offers", json={**JOB, "volumes": {"d": "far"}})).json()
    assert far["chosen"]["pool"] == "burst"


async def test_one_in_use_is_not_removed(house: House, http) -> None:
    await made(http)
    job = (await http.post("/v1/jobs", json=JOB)).json()["id"]
    assert (await http.get("/v1/volumes/sets")).json()["used_by"] == [job]
    refused = await http.delete("/v1/volumes/sets")
    assert (refused.status_code, job in refused.json()["detail"]) == (409, True)
    assert (house.state_dir / "volumes" / "sets").is_dir()
    await house.end(job)
    assert (await http.delete("/v1/volumes/sets")).status_code == 200
    again = await http.post("/v1/jobs", json=JOB)
    assert (again.status_code, "volume create sets" in again.text) == (422, True)


async def test_data_that_is_there_is_not_taken_for_a_new_volume(house: House, http) -> None:
    folder = house.state_dir / "volumes" / "sets"
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    answer = await http.post("/v1/volumes", json={"name": "sets"})
    assert (answer.status_code, "not empty" in answer.text) == (409, True)
    assert (await http.get("/v1/volumes")).json() == {"volumes": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Sets"}, "name"),
        ({"name": "../sets"}, "name"),
        ({"name": "sets", "place": "moon"}, "place"),
        ({"name": "sets", "colour": 1}, "colour"),
        ({}, "name"),
    ],
)
async def test_what_can_t_be_is_refused_by_field(http, body: dict, field: str) -> None:
    answer = await http.post("/v1/volumes", json=body)
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, field), answer.text


async def test_a_volume_that_was_removed_ends_what_is_launched_later_with_the_reason(house: House, http) -> None:
    """Between the look at a submission and its launch; the store keeps others from it."""
    await made(http)
    house.store.jobs_with = lambda *_: ()  # type: ignore[method-assign]
    keep = house.store.add_batch

    def removed(*given, **more):
        stored = keep(*given, **more)
        from broker.run.store import volume_keeping

        found, volume_keeping._jobs_with = volume_keeping._jobs_with, lambda *_: ()
        house.store.drop_volume("sets")
        volume_keeping._jobs_with = found
        return stored

    house.store.add_batch = removed  # type: ignore[method-assign]
    job = (await http.post("/v1/jobs", json={**JOB, "retry": {"max_attempts": 1}})).json()["id"]
    await house.reaches(job, "failed")
    assert "there is no volume 'sets'" in (await http.get(f"/v1/jobs/{job}")).json()["reason"]


async def in_projects(owner: httpx.AsyncClient, **members: str) -> None:
    for name in ("vision", "speech"):
        await project(owner, name)
    for user, name in members.items():
        await owner.put(f"/v1/projects/{name}/members/{user}", json={"role": "submitter"})


async def test_another_project_s_is_refused_hidden_and_kept(house: House, http) -> None:
    await in_projects(http, mia="vision", ben="speech")
    async with (
        client(house, await token(house, Scope.SUBMIT)) as mia,
        client(house, await token(house, Scope.SUBMIT, "ben")) as ben,
    ):
        refused = await ben.post("/v1/volumes", json={"name": "sets", "project": "vision"})
        assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "project")
        assert (await made(mia, project="vision"))["project"] == "vision"
        taken = await ben.post("/v1/jobs", json={**JOB, "project": "speech"})
        nothing = await ben.post("/v1/jobs", json={"run": "true", "volumes": {"/data": "none"}, "project": "speech"})
        assert taken.status_code == nothing.status_code == 422
        assert taken.text.replace("sets", "none") == nothing.text
        assert taken.json()["problems"][0]["field"] == "volumes./data"
        assert (await ben.get("/v1/volumes")).json() == {"volumes": []}
        for method, path, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("PATCH", "", {"project": "speech"}),
            ("PUT", "/shares/speech", {"access": "write"}),
            ("DELETE", "/shares/vision", None),
        ):
            answers = [await ben.request(method, f"/v1/volumes/{name}{path}", json=body) for name in ("sets", "none")]
            assert [answer.status_code for answer in answers] == [404, 404], (method, path)
            assert answers[0].text.replace("sets", "none") == answers[1].text
        assert (await mia.post("/v1/jobs", json={**JOB, "project": "vision"})).status_code == 201
        assert (await mia.post("/v1/jobs", json=JOB)).status_code == 422  # it is not of the default project


async def test_it_is_shared_to_read_and_to_write_by_admins_alone(house: House, http) -> None:
    await in_projects(http, mia="vision", ben="speech")
    async with (
        client(house, await token(house, Scope.SUBMIT)) as mia,
        client(house, await token(house, Scope.SUBMIT, "ben")) as ben,
    ):
        await made(mia, project="vision")
        assert (await mia.put("/v1/volumes/sets/shares/*", json={})).status_code == 403
        assert (await http.put("/v1/volumes/sets/shares/vision", json={})).status_code == 409
        assert (await http.put("/v1/volumes/sets/shares/nobody", json={})).status_code == 404
        shared = (await http.put("/v1/volumes/sets/shares/speech", json={})).json()
        assert shared["shares"] == {"speech": "read"}
        assert (await mia.get("/v1/volumes/sets")).json()["shares"] == {}  # that there is such a project is not hers
        offered = (await ben.post("/v1/offers", json={**JOB, "project": "speech"})).json()
        said = {refusal["pool"]: refusal["message"] for refusal in offered["refusals"]}
        assert said["steady"] == "its project speech may only read the volume sets; the pool keeps no job from writing"
        assert (await ben.delete("/v1/volumes/sets")).status_code == 403
        await http.put("/v1/volumes/sets/shares/speech", json={"access": "write"})
        assert (await ben.post("/v1/offers", json={**JOB, "project": "speech"})).json()["chosen"]["pool"] == "steady"
        assert (await http.delete("/v1/volumes/sets/shares/speech")).json()["shares"] == {}
        assert (await ben.get("/v1/volumes/sets")).status_code == 404


async def test_it_is_given_to_another_project_and_removed_by_who_made_it(house: House, http) -> None:
    await in_projects(http, mia="vision")
    async with client(house, await token(house, Scope.SUBMIT)) as mia:
        await made(mia)
        assert (await mia.patch("/v1/volumes/sets", json={"project": "vision"})).status_code == 403
        assert (await http.patch("/v1/volumes/sets", json={"project": "vision"})).json()["project"] == "vision"
        assert (await http.delete("/v1/projects/vision")).status_code == 409
        assert (await mia.delete("/v1/volumes/sets")).status_code == 200
    assert (await http.delete("/v1/projects/vision")).status_code == 200


async def test_what_is_not_shared_any_more_ends_what_is_launched_later(house: House, http) -> None:
    await in_projects(http)
    await made(http)
    await http.put("/v1/volumes/sets/shares/speech", json={"access": "write"})
    keep = house.store.add_batch

    def unshared(*given, **more):
        stored = keep(*given, **more)
        house.store.share_volume("sets", "speech", None)
        return stored

    house.store.add_batch = unshared  # type: ignore[method-assign]
    job = (await http.post("/v1/jobs", json={**JOB, "project": "speech", "retry": {"max_attempts": 1}})).json()["id"]
    await house.reaches(job, "failed")
    assert "speech has no volume 'sets'" in (await http.get(f"/v1/jobs/{job}")).json()["reason"]
