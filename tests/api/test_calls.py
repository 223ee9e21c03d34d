"""/v1/results and /v1/blobs: what calls returned, many in one answer, and only to who may see them."""

import asyncio
import hashlib
import json

import httpx
import pytest

from broker.model.jobs import AttemptState
from tests.api.conftest import House


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


async def test_results_come_as_soon_as_any_has_ended(house: House, http: httpx.AsyncClient) -> None:
    array, single = await submitted(http, array=3), await submitted(http)
    asked = {"of": [f"{array}:0-1,2", single], "timeout_s": 20}
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
