"""Budgets as a client sets and sees them, and what becomes of jobs that they have no room for."""

import asyncio
from dataclasses import replace

import pytest

import broker.run.attempts.dispatch as dispatching
from broker.api.budgets import view
from broker.model.budgets import Budget
from broker.model.money import Money
from tests.api.conftest import WAIT_S, House

JOB = {"run": "echo hi", "name": "greet", "est_runtime": "1h", "resources": {"accelerators": "H100"}}


async def set_budget(http, name: str = "lab", **wish: object) -> dict:
    answer = await http.put(f"/v1/budgets/{name}", json={"limit": "$0.01", **wish})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def reason(house: House, http, job_id: str, word: str) -> dict:
    """The job as soon as its reason has a word, or its state is one."""
    async with asyncio.timeout(WAIT_S):
        while True:
            version = house.broker.version
            shown = (await http.get(f"/v1/jobs/{job_id}")).json()
            if word in shown["reason"] or word == shown["state"]:
                return shown
            await house.broker.changed(version, 0.1)


async def test_a_budget_is_set_shown_changed_and_removed(http) -> None:
    made = await set_budget(http, tag="team=red", period="week", action="warn")
    assert (made["tag"], made["period"], made["limit"]["usd"], made["left"]["usd"]) == (
        "team=red",
        "week",
        "0.01",
        "0.01",
    )
    await set_budget(http, limit=500)
    (only,) = (await http.get("/v1/budgets")).json()["budgets"]
    assert (only["limit"]["usd"], only["action"], only["period"], only["tag"]) == ("500.00", "hold", "month", None)
    assert (await http.get("/v1/budgets/lab")).json() == only
    assert (await http.delete("/v1/budgets/lab")).json() == {"budgets": []}
    gone = [await http.request(method, "/v1/budgets/lab") for method in ("GET", "DELETE")]
    assert [answer.status_code for answer in gone] == [404, 404]
    assert gone[0].text == gone[1].text


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"limit": "much"}, "limit"),
        ({"limit": 5, "period": "fortnight"}, "period"),
        ({"limit": 5, "tag": "red"}, "KEY=VALUE"),
        ({"limit": 5, "pool": "moon"}, "moon"),
        ({"limit": 5, "colour": "red"}, "colour"),
        ({}, "limit"),
    ],
)
async def test_a_wrong_budget_is_refused_by_field(http, wish: dict, word: str) -> None:
    answer = await http.put("/v1/budgets/lab", json=wish)
    assert (answer.status_code, word in answer.text) == (422, True), answer.text
    assert (await http.get("/v1/budgets")).json() == {"budgets": []}


async def test_a_job_without_room_is_held_says_why_and_begins_once_there_is(house: House, http) -> None:
    await set_budget(http)
    submitted = (await http.post("/v1/jobs", json=JOB)).json()
    assert "budget lab: this may cost $" in submitted["warnings"][0]
    held = await reason(house, http, submitted["id"], "held")
    assert held["state"] == "queued"
    assert held["reason"].startswith("held by budget lab until 20")
    assert held["placement"]["reason"] == held["reason"]
    await set_budget(http, limit=100)
    assert (await reason(house, http, submitted["id"], "starting"))["reason"].startswith("attempt 1")
    (now,) = (await http.get("/v1/budgets")).json()["budgets"]
    assert 0 < now["committed"]["nanodollars"] <= 100 * 10**9


async def test_a_budget_that_refuses_takes_nothing_it_has_no_room_for(house: House, http) -> None:
    await set_budget(http, action="refuse")
    answer = await http.post("/v1/jobs", json=JOB)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:gpu-broker:over-budget"), answer.text
    assert "budget lab: this may cost $" in answer.json()["detail"]
    assert sum(house.store.counts().values()) == 0
    await set_budget(http, action="warn")
    taken = (await http.post("/v1/jobs", json=JOB)).json()
    assert taken["warnings"]
    await reason(house, http, taken["id"], "starting")


async def test_a_budget_of_others_says_nothing(house: House, http) -> None:
    await set_budget(http, action="refuse", user="bob")
    taken = (await http.post("/v1/jobs", json=JOB)).json()
    assert taken["warnings"] == []
    await reason(house, http, taken["id"], "starting")


async def test_a_pool_without_room_sends_jobs_elsewhere(house: House, http) -> None:
    first = (await http.post("/v1/offers", json=JOB)).json()["chosen"]["pool"]
    await set_budget(http, pool=first)
    taken = (await http.post("/v1/jobs", json=JOB)).json()
    shown = await reason(house, http, taken["id"], "starting")
    assert shown["pool"] != first
    for placement in (shown["placement"], (await http.post("/v1/offers", json=JOB)).json()):
        (refusal,) = [each for each in placement["refusals"] if each["pool"] == first]
        assert (refusal["constraint"], "budget lab" in refusal["message"]) == ("budget", True)


async def test_those_who_are_held_keep_nobody_else_from_beginning(house: House, http, monkeypatch) -> None:
    monkeypatch.setattr(dispatching, "PAGE", 2)
    await set_budget(http, tag="team=red")
    for _ in range(5):
        await http.post("/v1/jobs", json={**JOB, "tags": {"team": "red"}})
    free = (await http.post("/v1/jobs", json=JOB)).json()
    await reason(house, http, free["id"], "starting")


async def test_what_runs_is_stopped_only_where_a_budget_says_so(house: House, http) -> None:
    taken = (await http.post("/v1/jobs", json=JOB)).json()["id"]
    await house.start(taken)
    await house.broker.settle_now()
    await set_budget(http, limit="0.000000001", stop_running=False)
    await house.broker.budgets._stop()
    assert not (await http.get(f"/v1/jobs/{taken}")).json()["cancel_requested"]
    await set_budget(http, limit="0.000000001", stop_running=True)
    await house.broker.budgets._stop()
    assert (await http.get(f"/v1/jobs/{taken}")).json()["cancel_requested"]


async def test_left_may_be_below_zero(house: House, http) -> None:
    (standing,) = [await house.service.budgets.set(Budget(name="a", limit=Money(5)))]
    assert view(replace(standing, spent=Money(9))).left.nanodollars == -4
