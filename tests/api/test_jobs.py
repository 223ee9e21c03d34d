import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import httpx
import pytest

from broker.cli.detail import show_job
from broker.decide import expand
from broker.model.jobs import AttemptState, Job
from broker.run.service import submissions
from broker.run.service.beside import LARGE
from broker.spec.read import Parsed
from tests.api.conftest import WAIT_S, House


async def submit(http: httpx.AsyncClient, **job: object) -> str:
    response = await http.post("/v1/jobs", json={"run": "true"} | job)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def test_a_job_is_submitted_run_and_shown_with_its_whole_history(house: House, http, submitted) -> None:
    await house.end(submitted)
    shown = (await http.get(f"/v1/jobs/{submitted}")).json()
    assert (shown["kind"], shown["state"], shown["exit_code"], shown["pool"]) == ("job", "succeeded", 0, "steady")
    assert [attempt["state"] for attempt in shown["made"]] == ["succeeded"]
    assert [change["new"] for change in shown["changes"] if change["attempt_id"] is None][-1] == "succeeded"
    assert shown["placement"]["verdict"] == "run"
    assert shown["document"]["run"] == "echo hi"
    assert shown["submitted_at"].endswith("Z")


async def test_its_cost_is_complete_and_the_sum_of_its_charges(house: House, http, submitted) -> None:
    await house.end(submitted)
    shown = (await http.get(f"/v1/jobs/{submitted}")).json()
    assert shown["cost"]["complete"]
    assert shown["cost"]["nanodollars"] == sum(charge["amount"]["nanodollars"] for charge in shown["charges"]) > 0
    assert shown["charges"][0]["price"]["source"] == "the test"


async def test_its_charges_are_one_line_for_each_kind_and_pool_however_often_it_was_settled(
    house: House, http, submitted, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.start(submitted)
    for _ in range(3):
        await house.broker.settle_now()
    await house.end(submitted)
    shown = (await http.get(f"/v1/jobs/{submitted}")).json()
    (line,) = [each for each in shown["charged"] if each["kind"] == "job"]
    slices = [each for each in shown["charges"] if each["kind"] == "job"]
    assert line["count"] == len(slices) > 1
    assert line["amount"]["nanodollars"] == sum(each["amount"]["nanodollars"] for each in slices)
    show_job(shown)
    said = [words.split("\t") for words in capsys.readouterr().out.splitlines()]
    assert [words[0] for words in said if len(words) == 7 and words[1] == "steady"] == [
        each["kind"] for each in shown["charged"]
    ]


async def test_the_answer_to_a_submission_says_where_the_job_is(http) -> None:
    response = await http.post("/v1/jobs", json={"run": "python train.py"})
    body = response.json()
    assert response.headers["Location"] == f"/v1/jobs/{body['id']}"
    assert body == {"id": body["id"], "name": "train.py", "tasks": None, "created": True, "ignored": [], "warnings": []}
    assert len(body["id"]) == 8


async def test_ids_sort_by_time(http) -> None:
    ids = [await submit(http) for _ in range(20)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("how", ["id", "header"])
async def test_submitting_the_same_again_finds_the_first(http, how: str) -> None:
    body, headers = ({"id": "mine"}, {}) if how == "id" else ({}, {"Idempotency-Key": "mine"})
    first = await http.post("/v1/jobs", json={"run": "true", "deadline": "+1h"} | body, headers=headers)
    again = await http.post("/v1/jobs", json={"deadline": "+1h", "run": "true"} | body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() | {"created": False} == again.json()
    assert len((await http.get("/v1/jobs")).json()["items"]) == 1


async def test_another_job_under_the_same_id_is_a_conflict(http) -> None:
    await submit(http, id="mine")
    response = await http.post("/v1/jobs", json={"run": "false", "id": "mine"})
    assert response.status_code == 409
    assert response.json()["type"] == "urn:gpu-broker:conflict"
    assert "mine" in response.json()["detail"]


async def test_an_array_is_found_again_whole(http) -> None:
    first = await http.post("/v1/jobs", json={"run": "true", "id": "many", "array": 3})
    again = await http.post("/v1/jobs", json={"run": "true", "id": "many", "array": 3})
    assert first.json()["tasks"] == again.json()["tasks"] == 3
    assert not again.json()["created"]


async def test_a_key_that_is_not_the_id_is_refused(http) -> None:
    response = await http.post("/v1/jobs", json={"run": "true", "id": "a"}, headers={"Idempotency-Key": "b"})
    assert response.status_code == 422
    assert response.json()["problems"][0]["field"] == "id"


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        ({}, "", "nothing to run"),
        ({"run": "true", "gpuz": "H100"}, "gpuz", "did you mean"),
        ({"run": "true", "resources": {"cpus": -1}}, "resources.cpus", "more than zero"),
        ({"run": "true", "gpus": "H1000"}, "gpus", "H100"),
        ({"run": "true", "gpus": "H100:8"}, "resources.accelerators", "burst"),
        ({"run": "true", "pools": ["stedy"]}, "pools", "steady"),
        ({"run": "true", "regions": ["mars"]}, "placement.regions", "steady"),
        ({"run": "true", "max_cost": "0.000001", "est_runtime": "10h"}, "max_cost", "over max_cost"),
        ({"run": "true", "deadline": "2020-01-01T00:00:00Z"}, "deadline", "past"),
        ({"function": {"blob": "0" * 64, "name": "f", "python": "3.11"}}, "function.blob", "PUT /v1/blobs"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_field_and_nothing_is_stored(http, body, field, word) -> None:
    response = await http.post("/v1/jobs", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problems = {problem["field"]: problem["message"] for problem in response.json()["problems"]}
    assert word in problems.get(field, ""), problems
    assert (await http.get("/v1/jobs")).json()["items"] == []


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/offers"])
async def test_a_large_one_is_read_beside_the_event_loop(http, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, threads = submissions.from_mapping, []

    def watched(*args: Any, **more: Any) -> Parsed:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(*args, **more)

    monkeypatch.setattr(submissions, "from_mapping", watched)
    for number in (3, LARGE):
        job = {"run": "true", "envs": {f"NAME_{n}": "value" for n in range(number)}}
        assert (await http.post(path, json=job)).is_success
    assert threads == [True, False]


async def test_of_a_long_array_one_task_is_made_to_say_what_would_be_decided(
    http, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(**fields: Any) -> Job:
        made.append(fields["id"])
        return Job(**fields)

    monkeypatch.setattr(expand, "Job", counted)
    array = {"run": "true", "array": 1_000, "matrix": {"SEED": ["1", "2"]}, "max_cost": 100}
    assert (await http.post("/v1/offers", json=array)).is_success
    assert made == ["preview.0"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"cpus": NaN, "run": "true"}', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_job_is_refused(http, body: bytes) -> None:
    response = await http.post("/v1/jobs", content=body)
    assert (response.status_code, response.json()["title"]) == (422, "Invalid input")


async def test_fields_of_other_tools_are_named_as_ignored(http) -> None:
    response = await http.post("/v1/jobs", json={"run": "true", "resources": {"use_spot": False, "ports": 80}})
    assert [item["field"] for item in response.json()["ignored"]] == ["resources.ports"], response.text


async def test_a_job_belongs_to_who_submits_it(http) -> None:
    response = await http.post("/v1/jobs", json={"run": "true"}, headers={"Broker-User": "ann"})
    assert (await http.get(f"/v1/jobs/{response.json()['id']}")).json()["user"] == "ann"


async def test_the_list_is_newest_first_and_pages_without_loss(http) -> None:
    ids = [await submit(http) for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/v1/jobs", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ids[::-1]


async def test_the_list_takes_filters(house: House, http) -> None:
    red = await submit(http, name="a", tags={"team": "red", "x": "y=z"})
    blue = await submit(http, name="b", tags={"team": "blue"})
    await house.end(red)

    async def listed(**params: object) -> list[str]:
        response = await http.get("/v1/jobs", params=params)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert await listed(state="succeeded") == [red]
    assert await listed(state=["succeeded", "queued", "starting"]) == [blue, red]
    assert await listed(name="b") == [blue]
    assert await listed(pool="steady", state="succeeded") == [red]
    assert await listed(tag=["team=red", "x=y=z"]) == [red]
    assert await listed(user="nobody") == []
    assert await listed(since="9999-01-01T00:00:00Z") == []
    assert await listed(until="0001-01-01T00:00:00Z") == []
    wrong = await http.get("/v1/jobs", params={"state": ["queued", "gone"]})
    assert (wrong.status_code, wrong.json()["problems"][0]["field"]) == (422, "state")


async def test_an_array_is_one_line_when_collapsed(house: House, http) -> None:
    array = await submit(http, array=3, name="sweep")
    for index in range(3):
        await house.end(f"{array}.{index}")
    single = await submit(http)
    items = (await http.get("/v1/jobs", params={"collapse": True})).json()["items"]
    assert [item["id"] for item in items] == [single, array]
    assert (items[1]["kind"], items[1]["tasks"], items[1]["counts"]) == ("array", 3, {"succeeded": 3})
    shown = (await http.get(f"/v1/jobs/{array}")).json()
    line = (await http.get("/v1/jobs", params={"collapse": True})).json()["items"][1]
    assert line["cost"] == shown["cost"]
    assert line["cost"]["complete"] and line["cost"]["nanodollars"] > 0
    tasks = (await http.get("/v1/jobs", params={"array": array})).json()["items"]
    assert line["cost"]["nanodollars"] == sum(task["cost"]["nanodollars"] for task in tasks)
    assert sorted(task["array_index"] for task in tasks) == [0, 1, 2]


async def test_an_array_is_shown_with_its_counts_and_cost(house: House, http) -> None:
    array = await submit(http, array=2)
    await house.end(f"{array}.0")
    await house.end(f"{array}.1", AttemptState.FAILED, 3)
    shown = (await http.get(f"/v1/jobs/{array}")).json()
    assert shown["counts"] == {"succeeded": 1, "failed": 1}
    assert (shown["state"], shown["ended"]) == ("failed", True)
    assert shown["cost"]["nanodollars"] > 0


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 1001},
        {"cursor": "x"},
        {"state": "done"},
        {"since": "noon"},
        {"tag": "x"},
        {"name": "\0"},
    ],
)
async def test_wrong_filters_are_refused_by_name(http, params) -> None:
    response = await http.get("/v1/jobs", params=params)
    assert response.status_code == 422
    assert next(iter(params)) in response.json()["detail"] or "cursor" in response.json()["detail"]


UNKNOWN = [
    ("GET", "/v1/jobs/nosuch"),
    ("GET", "/v1/jobs/nosuch/wait?timeout_s=0"),
    ("GET", "/v1/jobs/nosuch/explain"),
    ("GET", "/v1/jobs/nosuch/logs"),
    ("GET", "/v1/jobs/nosuch/logs?follow=true"),
    ("GET", "/v1/jobs/nosuch/follow"),
    ("GET", "/v1/jobs/nosuch/result"),
    ("POST", "/v1/jobs/nosuch/cancel"),
    ("POST", "/v1/jobs/nosuch/retry"),
    ("GET", "/v1/jobs/%00"),
    ("POST", "/v1/jobs/%F0%9F%90%99/cancel"),
]


@pytest.mark.parametrize(("method", "path"), UNKNOWN)
async def test_an_unknown_job_is_not_found(http, method: str, path: str) -> None:
    response = await http.request(method, path)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:gpu-broker:unknown-name"


async def test_a_name_that_is_nearly_right_is_suggested(http) -> None:
    await submit(http, id="training-run")
    assert "training-run" in (await http.get("/v1/jobs/traning-run")).json()["detail"]


async def test_a_job_that_is_asked_for_by_its_name_is_given_by_its_ids(http) -> None:
    ids = [await submit(http, name="train") for _ in range(2)]
    said = (await http.get("/v1/jobs/train")).json()["detail"]
    assert said == f"there is no job with the id 'train'; of that name the latest: {ids[1]}, {ids[0]}"


async def test_wait_answers_at_the_end(house: House, http, submitted) -> None:
    waiting = asyncio.create_task(http.get(f"/v1/jobs/{submitted}/wait", params={"timeout_s": WAIT_S}))
    await house.end(submitted, AttemptState.FAILED, 7)
    answer = (await waiting).json()
    assert (answer["ended"], answer["state"], answer["exit_code"]) == (True, "failed", 7)


async def test_wait_answers_a_change_when_told_what_was_seen(house: House, http, submitted) -> None:
    await house.attempt_of(submitted)
    await house.reaches(submitted, "starting")
    seen = (await http.get(f"/v1/jobs/{submitted}/wait", params={"timeout_s": 0})).json()["revision"]
    waiting = asyncio.create_task(http.get(f"/v1/jobs/{submitted}/wait", params={"timeout_s": WAIT_S, "since": seen}))
    await house.start(submitted)
    async with asyncio.timeout(WAIT_S):
        assert (await waiting).json()["state"] == "running"


async def test_wait_answers_after_its_time(http, submitted) -> None:
    began = time.monotonic()
    answer = (await http.get(f"/v1/jobs/{submitted}/wait", params={"timeout_s": 0.2})).json()
    assert not answer["ended"]
    assert time.monotonic() - began >= 0.2


async def test_wait_for_an_array_answers_when_each_task_has_ended(house: House, http) -> None:
    array = await submit(http, array=2)
    waiting = asyncio.create_task(http.get(f"/v1/jobs/{array}/wait", params={"timeout_s": WAIT_S}))
    await house.end(f"{array}.0")
    await house.end(f"{array}.1")
    assert (await waiting).json()["counts"] == {"succeeded": 2}


@pytest.mark.parametrize("timeout", ["-1", "301", "nan", "inf", "x"])
async def test_a_wait_of_no_sensible_time_is_refused(http, submitted, timeout: str) -> None:
    response = await http.get(f"/v1/jobs/{submitted}/wait", params={"timeout_s": timeout})
    assert response.status_code == 422


async def test_cancel_ends_what_runs(house: House, http, submitted) -> None:
    await house.start(submitted)
    response = await http.post(f"/v1/jobs/{submitted}/cancel")
    assert (response.status_code, response.json()["marked"]) == (202, 1)
    assert response.json()["standing"]["cancel_requested"]
    await house.reaches(submitted, "cancelled")
    again = (await http.post(f"/v1/jobs/{submitted}/cancel")).json()
    assert (again["marked"], again["standing"]["state"]) == (0, "cancelled")


async def test_cancel_of_an_array_ends_its_tasks(house: House, http) -> None:
    array = await submit(http, array=3)
    await house.end(f"{array}.0")
    assert (await http.post(f"/v1/jobs/{array}/cancel")).json()["marked"] == 2
    waited = (await http.get(f"/v1/jobs/{array}/wait", params={"timeout_s": WAIT_S})).json()
    assert waited["counts"] == {"succeeded": 1, "cancelled": 2}


async def test_one_that_can_t_be_read_is_listed_shown_and_cancelled(house: House, http, submitted) -> None:
    executor, attempt_id = await house.start(submitted)
    with closing(sqlite3.connect(house.store._engine.url.database)) as other:
        other.executescript("UPDATE specs SET body = replace(body, '\"v\":1', '\"v\":2')")
    house.store._specs.forget()
    (listed,) = (await http.get("/v1/jobs")).json()["items"]
    shown = (await http.get(f"/v1/jobs/{submitted}")).json()
    for view in (listed, shown):
        assert (view["id"], view["name"], view["state"]) == (submitted, "greet", "running")
        assert (view["command"], view["pool"]) == ("unknown", "steady")
        assert "has version 2, this broker reads 1: upgrade the broker" in view["reason"]
    assert (await http.post(f"/v1/jobs/{submitted}/cancel")).json()["marked"] == 1
    async with asyncio.timeout(WAIT_S):
        while ("cancel", attempt_id) not in executor.calls:
            await house.broker.changed(house.broker.version, 0.05)


async def test_retry_submits_the_same_again(house: House, http) -> None:
    first = await submit(http, id="train", tags={"team": "red"}, run="exit 3")
    await house.end(first, AttemptState.FAILED, 3)
    response = await http.post(f"/v1/jobs/{first}/retry")
    assert response.status_code == 201
    again = (await http.get(f"/v1/jobs/{response.json()['id']}")).json()
    assert again["tags"] == {"team": "red", "retry_of": "train"}
    assert (again["id"] != first, again["document"]["run"], again["attempts"] < 2) == (True, "exit 3", True)


async def test_retry_of_an_array_takes_what_failed_under_its_index(house: House, http) -> None:
    array = await submit(http, array=3, matrix={"LR": ["1", "2"]})
    for index in range(6):
        await house.end(f"{array}.{index}", *((AttemptState.FAILED, 1) if index in (1, 4) else ()))
    response = (await http.post(f"/v1/jobs/{array}/retry")).json()
    assert response["tasks"] == 2
    await house.end(f"{response['id']}.1")
    executor, attempt = await house.attempt_of(f"{response['id']}.4")
    envs = executor.runs[attempt].request.envs
    assert (envs["BROKER_ARRAY_INDEX"], envs["BROKER_ARRAY_SIZE"], envs["LR"]) == ("4", "6", "2")


async def test_a_retried_array_is_listed_once_however_small_the_pages(house: House, http) -> None:
    array = await submit(http, array=4)
    for index in range(4):
        await house.end(f"{array}.{index}", *((AttemptState.FAILED, 1) if index else ()))
    again = (await http.post(f"/v1/jobs/{array}/retry")).json()["id"]
    seen: list[str] = []
    cursor = None
    while len(seen) < 5:
        params = {"limit": 1, "collapse": True} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/v1/jobs", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [again, array]


async def test_retry_of_one_task_takes_only_that(house: House, http) -> None:
    array = await submit(http, array=2)
    await house.end(f"{array}.0", AttemptState.FAILED, 1)
    await house.end(f"{array}.1", AttemptState.FAILED, 1)
    response = (await http.post(f"/v1/jobs/{array}.1/retry")).json()
    assert response["tasks"] == 1
    shown = (await http.get(f"/v1/jobs/{response['id']}.1")).json()
    assert shown["tags"] == {"retry_of": f"{array}.1"}


async def test_there_is_no_retry_of_what_succeeded_or_still_runs(house: House, http, submitted) -> None:
    response = await http.post(f"/v1/jobs/{submitted}/retry")
    assert (response.status_code, "has not ended" in response.json()["detail"]) == (409, True)
    await house.end(submitted)
    response = await http.post(f"/v1/jobs/{submitted}/retry")
    assert (response.status_code, "has succeeded" in response.json()["detail"]) == (409, True)


async def test_explain_says_why_in_words(house: House, http, submitted) -> None:
    await house.end(submitted)
    said = (await http.get(f"/v1/jobs/{submitted}/explain")).json()
    assert said["reason"].startswith("steady: ")
    assert any(line.startswith("burst: ") for line in said["rejected"])
    assert said["difference"]["nanodollars"] > 0
    assert said["placement"]["chosen"]["pool"] == "steady"
    assert said["actual"]


async def test_explain_is_about_one_job(http) -> None:
    array = await submit(http, array=2)
    response = await http.get(f"/v1/jobs/{array}/explain")
    assert (response.status_code, f"{array}.0" in response.json()["detail"]) == (422, True)
