"""Volumes as a client makes, uses and removes them."""

import pytest

from broker.model.pools import Capability, PoolKind
from broker.testing.fakes import FakeExecutor
from tests.api.conftest import House, pool

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
