"""/v1/results and /v1/blobs: what calls returned, many in one answer, and only to who may see them."""

import asyncio
import hashlib
import json

import httpx
import pytest

from broker.model import calls
from broker.model.jobs import AttemptState
from broker.model.placement import Verdict
from broker.model.query import JobFilter
from broker.run.attempts.blob_room import Room
from tests.api.conftest import WAIT_S, House


def records(body: bytes) -> list[tuple[dict, bytes]]:
    found = []
    while body:
        line, _, body = body.partition(b"\n")
        head = json.loads(line)
        found.append((head, body[: head["bytes"] or 0]))
        body = body[head["bytes"] or 0 :]
    return found


async def submitted(http: httpx.AsyncClient, **fields: object) -> str:
    payload = b"a call"
    sha256 = hashlib.sha256(payload).hexdigest()
    assert (await http.put(f"/v1/blobs/{sha256}", content=payload)).status_code == 200
    call = {"blob": sha256, "name": "f", "python": "3.11"}
    response = await http.post("/v1/jobs", json={"function": call, **fields})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


@pytest.mark.parametrize("of", ["a:" + ",".join(["0-99999"] * 9), "a:0-999999,0-999999,0-999999,0-999999,0-999999"])
async def test_a_short_text_that_names_very_many_tasks_is_refused(http: httpx.AsyncClient, of: str) -> None:
    answer = await http.get("/v1/results", params={"of": of, "timeout_s": 0})
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "of")


async def test_results_come_as_soon_as_any_has_ended(house: House, http: httpx.AsyncClient) -> None:
    array, single = await submitted(http, array=3), await submitted(http)
    asked = {"of": [f"{array}:0-1,2", single], "timeout_s": WAIT_S}
    waiting = asyncio.create_task(http.get("/v1/results", params=asked))
    executor, attempt = await house.start(f"{array}.1")
    executor.runs[attempt].result = b"pickled\nresult"
    await house.end(f"{array}.1")
    ((head, data),) = records((await waiting).content)
    assert (head["id"], head["state"], head["apart"], data) == (f"{array}.1", "succeeded", False, b"pickled\nresult")
    await house.end(single, AttemptState.FAILED, 3)
    found = records((await http.get("/v1/results", params={**asked, "of": [f"{array}:0,2", single]})).content)
    assert [(head["id"], head["bytes"]) for head, _ in found] == [(single, None)]
    assert (await http.get("/v1/results", params={"of": f"{array}:0", "timeout_s": 0})).content == b""


@pytest.mark.parametrize(
    ("asked", "status"),
    [("nosuch", 404), ("nosuch:0-3", 404), ("a:b", 422), ("a:1-", 422), ("../x", 422), ("a:0-9999999", 422)],
)
async def test_what_is_not_there_is_a_problem(http: httpx.AsyncClient, asked: str, status: int) -> None:
    assert (await http.get("/v1/results", params={"of": asked, "timeout_s": 0})).status_code == status
    assert (await http.get("/v1/results", params={"timeout_s": 0})).status_code == 422


async def test_an_array_is_asked_about_by_its_tasks(http: httpx.AsyncClient) -> None:
    array = await submitted(http, array=2)
    response = await http.get("/v1/results", params={"of": array, "timeout_s": 0})
    assert response.status_code == 422 and f"{array}:0-9" in response.text


async def test_whether_a_blob_is_here(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/v1/blobs/{'0' * 64}")).status_code == 404
    await submitted(http)
    sha256 = hashlib.sha256(b"a call").hexdigest()
    assert (await http.get(f"/v1/blobs/{sha256}")).json() == {"sha256": sha256, "bytes": 6}


async def test_arguments_that_are_not_here_or_not_for_each_task_are_refused(http: httpx.AsyncClient) -> None:
    await submitted(http)
    sha256 = hashlib.sha256(b"a call").hexdigest()
    call = {"blob": sha256, "name": "f", "python": "3.11", "inputs": "0" * 64}
    missing = await http.post("/v1/jobs", json={"function": call})
    assert missing.status_code == 422 and missing.json()["problems"][0]["field"] == "function.inputs"
    wrong = await http.post("/v1/jobs", json={"function": {**call, "inputs": sha256}})
    assert wrong.status_code == 422 and "is no file of calls" in wrong.text


async def called(http: httpx.AsyncClient, inputs: bytes, timeout_s: float = 0.0, **fields: object) -> httpx.Response:
    sha256 = hashlib.sha256(b"a function").hexdigest()
    assert (await http.put(f"/v1/blobs/{sha256}", content=b"a function")).status_code == 200
    head = json.dumps({"function": {"blob": sha256, "name": "f", "python": "3.11"}, **fields}).encode()
    return await http.post("/v1/calls", params={"timeout_s": timeout_s}, content=head + b"\n" + inputs)


async def test_a_call_is_stored_and_begun_in_one_transaction_and_answered_with_its_result(
    house: House, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = []
    monkeypatch.setattr(house.store, "decide", lambda **_: alone.append("decided by itself"))
    await house.nobody_waits()
    waiting = asyncio.create_task(called(http, calls.joined([b"arguments"]), WAIT_S))
    async with asyncio.timeout(WAIT_S):
        while not (jobs := house.store.jobs(JobFilter()).jobs):
            await asyncio.sleep(0.01)
    executor, attempt = await house.attempt_of(jobs[0].id)
    request = executor.runs[attempt].request
    assert b"a function" in (request.function_payload or b"") and b"arguments" in (request.function_payload or b"")
    recorded = house.store.recorded(jobs[0].id)
    assert [each.verdict for each in recorded.placements] == [Verdict.RUN] and len(recorded.attempts) == 1
    first = house.store.changes(jobs[0].id)[0]
    assert (first.attempt_id, first.old, first.new) == (None, "queued", "starting")
    executor.runs[attempt].result = b"pickled"
    await house.end(jobs[0].id)
    line, _, rest = (await waiting).content.partition(b"\n")
    assert json.loads(line)["id"] == jobs[0].id and json.loads(line)["created"]
    ((head, data),) = records(rest)
    assert (head["id"], head["state"], data) == (jobs[0].id, "succeeded", b"pickled") and not alone


async def test_a_call_for_which_there_is_no_room_waits_its_turn(house: House, http: httpx.AsyncClient) -> None:
    await house.nobody_waits()
    ids = [
        json.loads((await called(http, calls.joined([b"x"]), resources={"cpus": 8})).content)["id"] for _ in range(3)
    ]
    assert [house.store.job(each).state for each in ids] == ["starting", "starting", "queued"]
    for each in ids:
        await house.end(each)


async def test_an_array_of_calls_has_arguments_for_each(house: House, http: httpx.AsyncClient) -> None:
    answer = json.loads((await called(http, calls.joined([b"one", b"two"]), array=2)).content)
    executor, attempt = await house.attempt_of(f"{answer['id']}.1")
    assert answer["tasks"] == 2 and b"two" in (executor.runs[attempt].request.function_payload or b"")


@pytest.mark.parametrize(
    ("inputs", "fields", "field"),
    [
        (b"no file of calls", {}, "function.inputs"),
        (calls.joined([b"one", b"two"]), {}, "function.inputs"),
        (calls.joined([b"x" * (1 << 16)]), {}, "function.inputs"),
        (calls.joined([b"x"]), {"function": None, "run": "true"}, "function"),
        (calls.joined([b"x"]), {"function": {"blob": "0" * 64, "name": "f", "python": "3.11"}}, "function.blob"),
        (calls.joined([b"x"]), {"cpuz": 1}, "cpuz"),
    ],
)
async def test_what_is_no_call_is_refused_and_stores_nothing(
    house: House, http: httpx.AsyncClient, inputs: bytes, fields: dict[str, object], field: str
) -> None:
    response = await called(http, inputs, **fields)
    assert response.status_code == 422 and response.json()["problems"][0]["field"] == field
    assert (await http.post("/v1/calls", content=b"[]\n" + inputs)).status_code == 422
    assert not house.store.jobs(JobFilter()).jobs


async def test_the_same_call_under_the_same_id_is_found(house: House, http: httpx.AsyncClient) -> None:
    first = await called(http, calls.joined([b"x"]), id="mine")
    again = await called(http, calls.joined([b"x"]), id="mine")
    assert (first.status_code, again.status_code) == (201, 200) and not json.loads(again.content)["created"]
    assert (await called(http, calls.joined([b"y"]), id="mine")).status_code == 409


async def test_what_has_no_room_is_refused_by_name_and_what_is_here_is_called_on(house: House, http) -> None:
    function = b"f" * 1_000
    sha256 = hashlib.sha256(function).hexdigest()
    assert (await http.put(f"/v1/blobs/{sha256}", content=function)).status_code == 200
    house.broker.blobs.room = Room(2_000, house.broker.blobs._bytes)
    large = b"x" * (1 << 20)
    refused = await http.put(f"/v1/blobs/{hashlib.sha256(large).hexdigest()}", content=large)
    assert (refused.status_code, refused.json()["type"]) == (507, "urn:gpu-broker:store-full")
    assert "1,000 of the 2,000 bytes" in refused.json()["detail"] and "logs.max_blobs" in refused.json()["detail"]
    job = json.dumps({"function": {"blob": sha256, "name": "f", "python": "3.11"}}).encode() + b"\n"
    for size, status in ((1_500, 507), (100, 201), (900, 507), (100, 201)):
        inputs = calls.joined([b"a" * size])
        assert (await http.post("/v1/calls", content=job + inputs)).status_code == status, size
