import asyncio
import hashlib
import json
from base64 import b64decode
from contextlib import aclosing
from dataclasses import replace

import cloudpickle
import httpx
import pytest

from broker.api import views
from broker.model.jobs import AttemptState, JobState
from broker.run.service.answers import JobStanding
from tests.api.conftest import WAIT_S, House


def events(text: str) -> list[tuple[str, dict]]:
    found = []
    for block in text.strip().split("\n\n"):
        kind, data, *_ = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def test_logs_are_read_in_pieces_as_bytes(house: House, http, submitted) -> None:
    executor, attempt = await house.start(submitted)
    executor.runs[attempt].stdout = b"one\xff\x00two"
    url = f"/v1/jobs/{submitted}/logs"
    first = await http.get(url, params={"limit": 4})
    assert (first.content, first.headers["Broker-Next-Offset"], first.headers["Broker-Complete"]) == (
        b"one\xff",
        "4",
        "false",
    )
    rest = await http.get(url, params={"offset": 4})
    assert (rest.content, rest.headers["Broker-Complete"]) == (b"\x00two", "false")
    await house.end(submitted)
    last = await http.get(url, params={"offset": 8})
    assert (last.content, last.headers["Broker-Complete"], last.headers["Broker-Attempt"]) == (b"", "true", "1")


async def test_the_streams_are_apart(house: House, http, submitted) -> None:
    executor, attempt = await house.start(submitted)
    executor.runs[attempt].stderr = b"oops"
    assert (await http.get(f"/v1/jobs/{submitted}/logs")).content == b""
    assert (await http.get(f"/v1/jobs/{submitted}/logs", params={"stream": "stderr"})).content == b"oops"


async def test_a_job_that_never_ran_has_complete_empty_logs(house: House, http) -> None:
    busy = [(await http.post("/v1/jobs", json={"run": "true", "gpus": "H100:2"})).json()["id"] for _ in range(3)]
    waiting = busy[2]
    answer = await http.get(f"/v1/jobs/{waiting}/logs")
    assert (answer.content, answer.headers["Broker-Attempt"], answer.headers["Broker-Complete"]) == (b"", "0", "false")
    await http.post(f"/v1/jobs/{waiting}/cancel")
    await house.reaches(waiting, "cancelled")
    assert (await http.get(f"/v1/jobs/{waiting}/logs")).headers["Broker-Complete"] == "true"


@pytest.mark.parametrize(
    "params", [{"offset": -1}, {"limit": 0}, {"limit": 1 << 25}, {"stream": "both"}, {"attempt": 0}, {"offset": 2**63}]
)
async def test_wrong_parameters_are_refused_by_name(http, submitted, params) -> None:
    response = await http.get(f"/v1/jobs/{submitted}/logs", params=params)
    assert response.status_code == 422
    assert response.json()["problems"][0]["field"] == next(iter(params))


async def test_an_attempt_that_was_not_made_is_not_found(house: House, http, submitted) -> None:
    await house.start(submitted)
    response = await http.get(f"/v1/jobs/{submitted}/logs", params={"attempt": 2})
    assert (response.status_code, "1 to 1" in response.json()["detail"]) == (404, True)


async def test_an_array_has_no_output_of_its_own(http) -> None:
    array = (await http.post("/v1/jobs", json={"run": "true", "array": 2})).json()["id"]
    for path in ("logs", "logs?follow=true", "follow", "result"):
        response = await http.get(f"/v1/jobs/{array}/{path}")
        assert (response.status_code, f"{array}.0" in response.json()["detail"]) == (422, True)


async def test_following_streams_states_and_output_until_the_end(house: House, http, submitted) -> None:
    following = asyncio.create_task(http.get(f"/v1/jobs/{submitted}/follow"))
    executor, attempt = await house.start(submitted)
    executor.runs[attempt].stdout = b"hello\n"
    executor.runs[attempt].stderr = b"\xff"
    await house.end(submitted)
    seen = events((await following).text)
    states = [data["state"] for kind, data in seen if kind == "state"]
    assert states[-1] == "succeeded"
    assert states == sorted(states, key=["queued", "starting", "running", "succeeded"].index)
    logs = {data["stream"]: b64decode(data["data"]) for kind, data in seen if kind == "log"}
    assert logs == {"stdout": b"hello\n", "stderr": b"\xff"}
    assert seen[-1] == ("end", seen[-1][1])
    assert seen[-1][1]["ended"]


async def test_following_goes_on_with_the_next_attempt(house: House, http) -> None:
    job = (await http.post("/v1/jobs", json={"run": "true", "retry": {"backoff": 0.01}})).json()["id"]
    following = asyncio.create_task(http.get(f"/v1/jobs/{job}/logs", params={"follow": True}))
    executor, attempt = await house.start(job)
    executor.runs[attempt].stdout = b"first "
    await executor.move(attempt, AttemptState.INTERRUPTED, reason="the node died")
    await house.reaches(job, "queued", "starting")
    executor, attempt = await house.start(job)
    executor.runs[attempt].stdout = b"second"
    await house.end(job)
    assert (await following).content == b"first second"


async def test_following_a_job_that_is_cancelled_before_it_ran_ends(house: House, http) -> None:
    jobs = [(await http.post("/v1/jobs", json={"run": "true", "gpus": "H100:2"})).json()["id"] for _ in range(3)]
    following = asyncio.create_task(http.get(f"/v1/jobs/{jobs[2]}/follow"))
    await http.post(f"/v1/jobs/{jobs[2]}/cancel")
    seen = events((await following).text)
    assert (seen[-1][0], seen[-1][1]["state"]) == ("end", "cancelled")


async def test_who_follows_a_job_that_waits_is_told_why(house: House, http) -> None:
    jobs = [(await http.post("/v1/jobs", json={"run": "true", "gpus": "H100:2"})).json()["id"] for _ in range(3)]
    async with asyncio.timeout(WAIT_S), aclosing(await house.service.follow(jobs[2])) as followed:
        async for each in followed:
            if isinstance(each, JobStanding) and each.waits_for:
                break
    assert each.job.state is JobState.QUEUED
    shown = (await http.get(f"/v1/jobs/{jobs[2]}")).json()
    assert each.waits_for == shown["placement"]["reason"] != ""
    assert views.job(each).reason == each.waits_for
    assert each.revision != replace(each, waits_for="").revision


async def test_one_attempt_can_be_followed_alone(house: House, http, submitted) -> None:
    executor, attempt = await house.start(submitted)
    executor.runs[attempt].stdout = b"all"
    await house.end(submitted)
    answer = await http.get(f"/v1/jobs/{submitted}/logs", params={"follow": True, "attempt": 1})
    assert answer.content == b"all"


async def put(http: httpx.AsyncClient, payload: bytes) -> str:
    sha256 = hashlib.sha256(payload).hexdigest()
    response = await http.put(f"/v1/blobs/{sha256}", content=payload)
    assert (response.status_code, response.json()) == (200, {"sha256": sha256, "bytes": len(payload)})
    return sha256


async def test_a_function_gets_its_payload_and_its_result_comes_back(house: House, http) -> None:
    payload = cloudpickle.dumps((len, ("abc",), {}))
    call = {"blob": await put(http, payload), "name": "len", "python": "3.11"}
    job = (await http.post("/v1/jobs", json={"function": call})).json()["id"]
    response = await http.get(f"/v1/jobs/{job}/result")
    assert (response.status_code, "before it has ended" in response.json()["detail"]) == (409, True)
    executor, attempt = await house.start(job)
    assert executor.runs[attempt].request.function_payload == payload
    executor.runs[attempt].result = cloudpickle.dumps(("value", 3))
    await house.end(job)
    assert cloudpickle.loads((await http.get(f"/v1/jobs/{job}/result")).content) == ("value", 3)


async def test_a_command_has_no_result(house: House, http, submitted) -> None:
    await house.end(submitted)
    response = await http.get(f"/v1/jobs/{submitted}/result")
    assert (response.status_code, "command" in response.json()["detail"]) == (404, True)


async def test_a_payload_under_another_hash_is_refused(http) -> None:
    response = await http.put(f"/v1/blobs/{'0' * 64}", content=b"x")
    assert (response.status_code, response.json()["problems"][0]["field"]) == (422, "sha256")
    assert (await http.put("/v1/blobs/xyz", content=b"x")).status_code == 422
