"""Quotas of projects with a running broker: who waits, why, until when, and who is not taken."""

from dataclasses import replace

import pytest

from broker.model.errors import OverQuota
from broker.model.projects import Waiting
from broker.testing.store_values import job
from tests.api.conftest import House

GPU = {"run": "true", "gpus": "H100:1", "project": "vision"}


async def project(http, **wish) -> None:
    answer = await http.post("/v1/projects", json={"name": "vision", **wish})
    assert answer.status_code == 201, answer.text


async def test_a_job_over_quota_waits_says_why_and_begins_when_another_ends(house: House, http) -> None:
    await project(http, quota={"gpus": {"H100": 1}})
    first = (await http.post("/v1/jobs", json=GPU, headers={"Broker-User": "ann"})).json()["id"]
    await house.start(first)
    second = (await http.post("/v1/jobs", json=GPU, headers={"Broker-User": "ben"})).json()["id"]
    plain = (await http.post("/v1/jobs", json={"run": "true", "project": "vision"})).json()["id"]
    await house.attempt_of(plain)
    said = "held by quota of project vision: 1 of 1 H100 in use (ann 1), and this job needs 1"
    explained = (await http.get(f"/v1/jobs/{second}/explain")).json()
    assert explained["placement"]["reason"] == said
    assert (await http.get(f"/v1/jobs/{second}")).json()["reason"] == said
    offered = (await http.post("/v1/offers", json=GPU)).json()
    assert offered["verdict"] == "wait" and "quota of project vision" in offered["reason"]
    await house.end(first)
    await house.start(second)


async def test_a_raised_quota_is_looked_at_again_at_once(house: House, http) -> None:
    await project(http, quota={"jobs_running": 1})
    first = (await http.post("/v1/jobs", json=GPU)).json()["id"]
    await house.start(first)
    second = (await http.post("/v1/jobs", json=GPU)).json()["id"]
    await http.put("/v1/projects/vision", json={"quota": {"jobs_running": 2}})
    await house.start(second)


async def test_what_can_never_fit_is_refused_with_the_field(http) -> None:
    await project(http, max_priority=40, quota={"gpus": {"H100": 1}, "jobs_queued": 3})
    for job_, field in (
        ({**GPU, "gpus": "H100:2", "priority": 10}, "resources.accelerators"),
        ({**GPU, "priority": 41}, "priority"),
    ):
        answer = await http.post("/v1/jobs", json=job_)
        assert (answer.status_code, [each["field"] for each in answer.json()["problems"]]) == (422, [field])


async def test_no_more_jobs_wait_than_may(house: House, http) -> None:
    await project(http, quota={"jobs_queued": 3}, user_quota={"jobs_queued": 2})
    wish = {**GPU, "placement": {"pools": ["steady"]}, "gpus": "H100:2"}
    running = (await http.post("/v1/jobs", json=wish, headers={"Broker-User": "ann"})).json()["id"]
    await house.start(running)
    for user, status in (("ann", 201), ("ann", 201), ("ann", 409), ("ben", 201), ("ben", 409)):
        answer = await http.post("/v1/jobs", json=wish, headers={"Broker-User": user})
        assert answer.status_code == status, user
    assert answer.json()["type"].endswith("over-quota")
    assert "4 jobs of the project 'vision' would wait, and 3 may" in answer.json()["detail"]


async def test_the_project_that_has_less_is_next(house: House, http) -> None:
    for name in ("vision", "speech"):
        await http.post("/v1/projects", json={"name": name})
    wish = {"run": "true", "gpus": "H100:1", "placement": {"pools": ["steady"]}}
    ran = [(await http.post("/v1/jobs", json={**wish, "project": "vision"})).json()["id"] for _ in range(4)]
    for each in ran[:2]:
        await house.start(each)
    late = (await http.post("/v1/jobs", json={**wish, "project": "speech"})).json()["id"]
    await house.end(ran[0])
    await house.start(late)


def test_too_many_that_wait_are_refused_in_the_transaction(house: House) -> None:
    room = [Waiting(project="default", user=None, most=2)]
    for number in range(2):
        house.store.add_jobs([replace(job(f"j{number}"), not_before_ns=2**62)], "{}", "h", room=room)
    with pytest.raises(OverQuota, match="3 jobs"):
        house.store.add_jobs([job("j2")], "{}", "h", room=room)
    assert house.store.counts()["queued"] == 2
