"""`GET /v1/plan`: the plan for the broker's own work, made once for all who ask, and kept."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.api.app import create_app
from broker.decide.rules import PlacementRules
from broker.model.offers import Tier
from broker.model.resources import GIB, Resources
from broker.run.broker import Broker
from broker.run.service import Service
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store import open_store
from broker.testing.fakes import FakeClock, FakeExecutor
from tests.run.past import AT_ONCE, BURST, DAY_NS, HOUR_NS, RAY, keep_jobs, offer

NOW = 20_783 * DAY_NS + 11 * HOUR_NS
NODE = Resources(cpus=4, memory_bytes=8 * GIB, gpus=1, gpu_model="L4")
HALF = Resources(cpus=2, memory_bytes=4 * GIB, gpus=0.5, gpu_model="L4")
POOLS = (
    replace(RAY, unit=NODE, offers=(replace(offer("g6", Tier.ON_DEMAND, "0.80"), gpu_model="L4", gpu_count=1),)),
    replace(
        BURST,
        unit=NODE,
        gpu_models=("L4",),
        offers=(replace(offer("functions", Tier.SERVERLESS, "1.60"), gpu_model="L4", gpu_count=1),),
    ),
)


class Asked:
    """A study that is counted and answers at once, as long as it is let."""

    def __init__(self) -> None:
        self.files: list[dict[str, str]] = []
        self.begun, self.may = asyncio.Event(), asyncio.Event()
        self.may.set()

    async def run(
        self, command: str, arguments: Sequence[str], trace: str, files: Mapping[str, str], timeout_s: float
    ) -> dict[str, Any]:
        self.files.append(dict(files))
        self.begun.set()
        await self.may.wait()
        return {"arguments": list(arguments), "number": len(self.files)}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    broker = Broker(
        pools=POOLS,
        store=store,
        clock=FakeClock(NOW),
        secrets=ConfiguredSecrets(prefix="BROKER_SECRET_", file=None),
        state_dir=tmp_path,
        rules=PlacementRules(),
        settle_every_s=3_600.0,
        build=FakeExecutor,
    )
    yield Service(broker)
    store.close()


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", timeout=None) as client:
        yield client


@pytest.fixture
def asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Work behind the broker, and studies that are counted."""
    keep_jobs(service._broker.store, 2, NOW, held=HALF)
    found = Asked()
    monkeypatch.setattr(service.studies, "run", found.run)
    return found


async def test_what_ran_is_planned_for_at_the_prices_of_its_pools(service: Service, http) -> None:
    keep_jobs(service._broker.store, 16, NOW, held=HALF)
    service.studies.process = AT_ONCE
    answer = await http.get("/v1/plan", params={"days": 2})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    result, ways = found["result"], {each["name"]: each for each in found["ways"]}
    assert (found["gpu"], result["hours"], ways["ray"]["usd_per_hour"]) == ("L4", 48, 0.8)
    assert ways["ray"]["prices"][0]["age_days"] > 0 and ways["ray"]["prices"][0]["stale"]
    assert {"committed", "cluster", "serverless"} == {each["kind"] for each in ways.values()}
    assert set(result["cost_by_offer_usd"]) == set(result["bought_below_usd"]) == set(ways)
    first, *others = result["options"]
    low, high = first["between_usd"]
    assert low <= first["usd"] <= high and all(each["usd"] >= first["usd"] - 1e-6 for each in others)
    assert result["lead"].startswith("The cheapest mix costs $")
    assert result["how_sure"] in result["advice"] and result["assumptions"]


async def test_it_is_made_once_for_all_and_anew_when_it_is_too_old(asked: Asked, http) -> None:
    asked.may.clear()
    waiting = [asyncio.create_task(http.get("/v1/plan", params={"max_age_s": 60})) for _ in range(3)]
    await asyncio.wait_for(asked.begun.wait(), 60)
    asked.may.set()
    assert {(await each).json()["result"]["number"] for each in waiting} == {1}
    assert (await http.get("/v1/plan?max_age_s=60")).json()["result"]["number"] == 1
    assert (await http.get("/v1/plan")).json()["result"]["number"] == 2
    lines = asked.files[0]["demand.csv"].splitlines()
    assert (lines[0], len(lines)) == ("step,gpus_busy", 49)
    assert json.loads(asked.files[0]["pools.json"])["pools"]["ray"]["usd_per_hour"] == float(Decimal("0.80"))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"gpu": "B200"}, "no job ran on 'B200' in the last 90 days; there are L4"),
        ({"days": 0}, "days"),
        ({"gpu": ""}, "gpu"),
    ],
)
async def test_what_can_not_be_planned_for_is_said(asked: Asked, http, query: dict[str, object], words: str) -> None:
    answer = await http.get("/v1/plan", params=query)
    assert (answer.status_code, asked.files) == (422, [])
    assert words in answer.text


async def test_hours_are_too_little_to_plan_from(service: Service, http) -> None:
    keep_jobs(service._broker.store, 1, NOW + 20 * HOUR_NS, held=HALF)
    answer = await http.get("/v1/plan")
    assert (answer.status_code, "has been seen for 4 hours" in answer.json()["detail"]) == (422, True)


async def test_a_broker_that_ran_nothing_says_so(http) -> None:
    answer = await http.get("/v1/plan")
    assert (answer.status_code, "no job with a GPU has run yet" in answer.json()["detail"]) == (422, True)
