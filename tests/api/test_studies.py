"""Plans and simulations over HTTP: what the commands say, within limits, and nothing else waits for them."""

import asyncio

import pytest

from broker.model.errors import InvalidInput, NoCapacity
from broker.run.service.studies import Studies
from tests.api.conftest import House

TRACE = "submit_s,duration_s,gpus\n" + "".join(f"{21600 * n},7200,{1 + n % 4}\n" for n in range(100))


async def test_a_trace_that_is_sent_is_planned_for_while_others_are_answered(http) -> None:
    planning = asyncio.create_task(http.post("/v1/plan", json={"trace": TRACE, "gpu": "H100", "step_s": 3600}))
    answered = 0
    while not planning.done():
        assert (await http.get("/v1/pools")).status_code == 200
        answered += 1
        await asyncio.sleep(0.02)
    answer = (await planning).json()
    assert answer["source"] == "trace" and answer["result"], answer
    assert answered > 5, "they waited for the plan"


async def test_a_trace_is_played_and_policies_are_held_side_by_side(http) -> None:
    wish = {"trace": TRACE, "scenarios": ["elastic"], "policies": ["broker"]}
    answer = (await http.post("/v1/simulate", json=wish)).json()
    assert list(answer["result"]["scenarios"]) == ["elastic"], answer


async def test_what_the_command_refuses_is_said_with_its_place(http) -> None:
    answer = await http.post("/v1/simulate", json={"trace": TRACE.replace("7200,2", "x,2"), "policies": ["broker"]})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["line"] == 3
    answer = await http.post("/v1/simulate", json={"trace": TRACE, "policies": ["nonsense"]})
    assert (answer.status_code, "nonsense" in answer.json()["detail"]) == (422, True)


async def test_what_needs_too_much_memory_is_refused_and_says_what_to_ask_for(http) -> None:
    apart = "submit_s,duration_s,gpus\n0,1,1\n1e12,1,1\n"
    answer = await http.post(
        "/v1/plan", json={"trace": apart, "pools": {"pools": {"x": {"kind": "serverless", "price": 5}}}}
    )
    assert (answer.status_code, "shorter time" in answer.text) == (422, True), answer.text


@pytest.mark.parametrize(
    "wish", [{"policies": ["--html"]}, {"gpu": "--lp=x"}, {"step_s": 0}, {"period": "never"}, {"tracee": ""}, {}]
)
async def test_what_can_not_be_asked_is_refused_before_anything_is_started(
    house: House, http, wish, monkeypatch
) -> None:
    monkeypatch.setattr(Studies, "run", None)
    route = "/v1/simulate" if "policies" in wish else "/v1/plan"
    answer = await http.post(route, json=wish)
    assert answer.status_code == 422 and answer.json()["problems"]


async def test_the_brokers_own_jobs_are_a_trace(house: House, http) -> None:
    job = (await http.post("/v1/jobs", json={"run": "true", "gpus": "H100:2"})).json()["id"]
    await house.start(job)
    await house.end(job)
    lines = (await house.service.studies.history("1d")).splitlines()
    submit_s, duration_s, gpus = lines[1].split(",")
    assert (lines[0], float(submit_s), gpus) == ("submit_s,duration_s,gpus", 0.0, "2")
    assert 0 <= float(duration_s) < 60


async def test_one_that_takes_too_long_is_ended_and_too_many_are_sent_away(house: House) -> None:
    studies = Studies(house.broker, timeout_s=0.01)
    with pytest.raises(InvalidInput, match="took longer"):
        await studies.run("simulate", ["-"], TRACE)
    with pytest.raises(InvalidInput, match="not installed"):
        await Studies(house.broker).run("nonsense", [], "")
    many = [asyncio.create_task(studies.run("simulate", ["-"], TRACE)) for _ in range(12)]
    ended = await asyncio.gather(*many, return_exceptions=True)
    assert {type(each) for each in ended} == {InvalidInput, NoCapacity}
