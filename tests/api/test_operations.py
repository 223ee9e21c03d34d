import asyncio
import os

from broker.model.errors import Unreachable
from tests.api.conftest import House


async def test_pools_say_what_they_have_and_what_it_costs(http) -> None:
    burst, steady = (await http.get("/v1/pools")).json()["pools"]
    assert (burst["name"], burst["kind"], burst["emulated"]) == ("burst", "serverless", True)
    assert (steady["name"], steady["problem"], steady["units"][0]["free"]["gpus"]) == ("steady", None, 2)
    assert steady["prices"][0]["source"] == "the test"
    assert steady["prices"][0]["stale"]
    assert steady["prices"][0]["age_days"] > 365
    one = (await http.get("/v1/pools/steady")).json()
    assert (one["name"], one["units"]) == ("steady", steady["units"])


async def test_a_pool_that_does_not_answer_is_listed_with_its_problem(house: House, http) -> None:
    house.executors["steady"].fail_next["capacity"] = Unreachable("no route to the head node")
    steady = (await http.get("/v1/pools")).json()["pools"][1]
    assert steady["problem"] == "no route to the head node"
    assert "no route" in (await http.get("/v1/status")).json()["problems"]["steady"]


async def test_status_counts_jobs_and_tells_of_the_process(house: House, http, submitted) -> None:
    await house.end(submitted)
    status = (await http.get("/v1/status")).json()
    assert (status["pid"], status["counts"]["succeeded"], status["problems"]) == (os.getpid(), 1, {})
    assert status["memory_bytes"] > 1 << 20
    assert status["uptime_s"] > 0


async def test_health_says_ok(http) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_shutdown_drains_what_runs(house: House, http, submitted) -> None:
    await house.start(submitted)
    response = await http.post("/v1/shutdown", json={"mode": "drain"})
    assert (response.status_code, response.json()) == (202, {"accepted": True})
    await house.end(submitted)
    async with asyncio.timeout(60.0):
        while house.executors["steady"].closed_ns is None:
            await asyncio.sleep(0.01)
    assert house.store.job(submitted).state == "succeeded"


async def test_shutdown_now_cancels_what_runs(house: House, http, submitted) -> None:
    await house.start(submitted)
    await http.post("/v1/shutdown", json={"mode": "now"})
    await house.reaches(submitted, "cancelled")


async def test_shutdown_takes_only_what_it_knows(http) -> None:
    response = await http.post("/v1/shutdown", json={"mode": "later"})
    assert (response.status_code, response.json()["problems"][0]["field"]) == (422, "mode")
