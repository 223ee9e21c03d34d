"""Many jobs in one request: all of them or none, and each found again."""

import asyncio

import pytest

from broker.model.errors import Conflict, InvalidInput
from broker.run.service.batches import MOST_JOBS
from tests.api.conftest import House

BATCH = "/v1/jobs:batch"
TWO = [{"run": "true", "tags": {"team": "red"}}, {"run": "false", "array": 3}]


async def stored(http) -> list[str]:
    return sorted(each["id"] for each in (await http.get("/v1/jobs", params={"limit": 1000})).json()["items"])


async def test_a_batch_is_taken_whole_and_answered_in_its_order(http) -> None:
    answer = await http.post(BATCH, json={"jobs": [*TWO, {"id": "mine", "run": "true"}]})
    body = answer.json()
    ids = [each["id"] for each in body["jobs"]]
    assert (answer.status_code, ids) == (201, [f"{body['key']}-0", f"{body['key']}-1", "mine"])
    assert [each["tasks"] for each in body["jobs"]] == [None, 3, None]
    assert await stored(http) == sorted([ids[0], *(f"{ids[1]}.{n}" for n in range(3)), "mine"])
    assert [each["id"] for each in (await http.get("/v1/jobs?tag=team=red")).json()["items"]] == [ids[0]]


async def test_the_same_batch_again_finds_its_jobs_and_a_longer_one_adds_to_them(http) -> None:
    headers = {"Idempotency-Key": "night"}
    first = await http.post(BATCH, json={"jobs": TWO}, headers=headers)
    again = await http.post(BATCH, json={"jobs": TWO}, headers=headers)
    longer = await http.post(BATCH, json={"jobs": [*TWO, {"run": "more"}]}, headers=headers)
    assert (first.status_code, again.status_code, longer.status_code) == (201, 200, 201)
    assert [each["created"] for each in longer.json()["jobs"]] == [False, False, True]
    assert [each["id"] for each in again.json()["jobs"]] == ["night-0", "night-1"]
    assert len(await stored(http)) == 5


async def test_two_batches_without_a_key_are_two(http) -> None:
    answers = await asyncio.gather(*(http.post(BATCH, json={"jobs": TWO}) for _ in range(8)))
    assert len({answer.json()["key"] for answer in answers}) == 8
    assert len(await stored(http)) == 32


async def test_everything_that_is_wrong_is_said_with_its_place_and_nothing_is_stored(http) -> None:
    jobs = [{"run": "true"}, {"run": "true", "gpuz": 1}, {"run": "true", "gpus": "H100:64"}]
    answer = await http.post(BATCH, json={"jobs": jobs[:2]})
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "jobs[1].gpuz")
    answer = await http.post(BATCH, json={"jobs": [jobs[0], jobs[2], jobs[2]]})
    assert [each["field"] for each in answer.json()["problems"]] == [
        "jobs[1].resources.accelerators",
        "jobs[2].resources.accelerators",
    ]
    assert await stored(http) == []


async def test_a_conflict_of_one_refuses_all(http) -> None:
    await http.post("/v1/jobs", json={"id": "mine", "run": "true"})
    answer = await http.post(BATCH, json={"jobs": [{"run": "true"}, {"id": "mine", "run": "other"}]})
    assert (answer.status_code, "mine was submitted before" in answer.json()["detail"]) == (409, True)
    assert await stored(http) == ["mine"]


async def test_an_id_is_of_one_job_only(http) -> None:
    answer = await http.post(BATCH, json={"jobs": [{"id": "a", "run": "x"}, {"id": "a", "run": "x"}]})
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "jobs[1].id")


async def test_what_was_taken_is_found_even_when_it_would_not_be_taken_now(house: House, http) -> None:
    soon = {"jobs": [{"id": "soon", "run": "true", "deadline": "2999-01-01T00:00:00Z"}]}
    assert (await http.post(BATCH, json=soon)).status_code == 201
    house.broker.pools.clear()
    answer = await http.post(BATCH, json=soon)
    assert (answer.status_code, answer.json()["jobs"][0]["created"]) == (200, False)


@pytest.mark.parametrize(
    "body", [{}, {"jobs": []}, {"jobs": {}}, {"jobs": [1]}, {"jobs": [{}] * (MOST_JOBS + 1)}, {"jobs": TWO, "x": 1}, []]
)
async def test_what_is_no_batch_is_refused(http, body: object) -> None:
    answer = await http.post(BATCH, json=body)
    assert answer.status_code == 422 and answer.json()["problems"]


async def test_a_key_that_another_process_took_at_the_same_moment_is_left_to_it(house: House, http) -> None:
    there, tries = house.store.add_batch, []

    def taken(entries):
        tries.append(entries[0].jobs[0].id)
        if len(tries) == 1:
            raise Conflict("taken")
        return there(entries)

    house.store.add_batch = taken  # type: ignore[method-assign]
    assert (await http.post(BATCH, json={"jobs": TWO})).status_code == 201
    assert len(set(tries)) == 2
    house.store.add_batch = lambda _: (_ for _ in ()).throw(Conflict("taken"))  # type: ignore[method-assign]
    assert (await http.post(BATCH, json={"jobs": TWO})).status_code == 409


async def test_too_many_tasks_are_too_many_together(house: House) -> None:
    with pytest.raises(InvalidInput, match="split them"):
        await house.service.batches.submit([{"run": "true", "array": 60_000}] * 2, "ann")


async def test_what_a_batch_keeps_for_its_tasks_is_bounded_as_for_one_job(house: House) -> None:
    tagged = {"run": "true", "array": 10_000, "tags": {f"k{n}": "v" for n in range(60)}}
    with pytest.raises(InvalidInput, match="tags are kept for each task, 1,200,000 in all"):
        await house.service.batches.submit([tagged] * 2, "ann")
