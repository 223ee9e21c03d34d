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
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.run.broker import Broker
from broker.run.service import Service
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store import open_store
from broker.testing.fakes import FakeClock, FakeExecutor
from tests.run.past import AT_ONCE, BURST, DAY_NS, HOUR_NS, RAY, keep_jobs, offer

NOW = 20_783 * DAY_NS + 11 * HOUR_NS
NODE = Resources(cpus=4, memory_bytes=8 * GIB, gpus=1, gpu_model="L4")
HALF = Resources(cpus=2, memory_bytes=4 * GIB, gpus=0.5, gpu_model="L4")
OF_T4 = replace(HALF, gpus=1, gpu_model="T4")
ANY_GPU = ResourceRequest(gpu_choices=(Gpu(model="", count=1.0),), cpus=2.0)
POOLS = (
    replace(RAY, unit=NODE, offers=(replace(offer("g6", Tier.ON_DEMAND, "0.80"), gpu_model="L4", gpu_count=1),)),
    replace(
        BURST,
        unit=NODE,
        gpu_models=("L4", "T4"),
        offers=tuple(
            replace(offer(f"functions-{model}", Tier.SERVERLESS, usd), gpu_model=model, gpu_count=1)
            for model, usd in (("L4", "1.60"), ("T4", "0.40"))
        ),
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
    keep_jobs(service._broker.store, 3, NOW, held=OF_T4, prefix="t")
    keep_jobs(service._broker.store, 9, NOW, held=OF_T4, asked=ANY_GPU, prefix="any")
    service.studies.process = AT_ONCE
    answer = await http.get("/v1/plan", params={"days": 1})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    result, ways = found["result"], {each["name"]: each for each in found["ways"]}
    assert (found["gpu"], result["hours"], ways["ray"]["usd_per_hour"]) == (None, 24, 0.8)
    assert {work["name"]: work["speeds"] for work in found["works"]} == {
        "L4": {"L4": 1.0},
        "T4": {"T4": 1.0},
        "L4 or T4": {"L4": 1.0, "T4": 1.0},
    }
    assert set(result["demand_gpus"]) == {work["name"] for work in found["works"]}
    assert {name: way["gpu"] for name, way in ways.items() if "burst" in name} == {"burst L4": "L4", "burst T4": "T4"}
    models = {each["gpu"]: each["cost_usd"] for each in result["by_model"]}
    assert sum(models.values()) == pytest.approx(result["cost_usd"]) == result["together"]["cost_usd"]
    assert any("taken to do the same work" in line for line in result["assumptions"])
    assert ways["ray"]["prices"][0]["age_days"] > 0 and ways["ray"]["prices"][0]["stale"]
    assert {"committed", "cluster", "serverless"} == {each["kind"] for each in ways.values()}
    assert set(result["cost_by_offer_usd"]) == set(result["bought_below_usd"]) == set(ways)
    assert {each["title"] for each in result["options"]} >= {"the plan", "all serverless", "held for the peak"}
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


async def test_each_choice_of_models_has_a_column_from_its_first_day_on_and_one_model_can_be_asked_about(
    service: Service, asked: Asked, http
) -> None:
    keep_jobs(service._broker.store, 1, NOW + 20 * HOUR_NS, held=OF_T4, asked=ANY_GPU, prefix="any")
    assert (await http.get("/v1/plan")).status_code == 200
    lines = [line.split(",") for line in asked.files[0]["demand.csv"].splitlines()]
    assert (lines[0], len(lines)) == (["step", "L4", "L4 or T4"], 49)
    column = [line[2] for line in lines[1:]]
    assert column[:24] == [""] * 24 and column[24:44] == ["0"] * 20 and all(float(each) > 0 for each in column[44:])
    said = json.loads(asked.files[0]["pools.json"])
    assert said["classes"] == {"L4": {"speeds": {"L4": 1.0}}, "L4 or T4": {"speeds": {"L4": 1.0, "T4": 1.0}}}
    alone = (await http.get("/v1/plan", params={"gpu": "l4"})).json()
    assert (alone["gpu"], [work["name"] for work in alone["works"]]) == ("L4", ["L4"])
    assert asked.files[1]["demand.csv"].startswith("step,gpus_busy\n")
    assert "classes" not in json.loads(asked.files[1]["pools.json"])


async def test_work_on_a_model_without_a_price_is_left_out_and_said(service: Service, asked: Asked, http) -> None:
    keep_jobs(service._broker.store, 2, NOW, held=replace(HALF, gpu_model="Z9"), prefix="z")
    found = (await http.get("/v1/plan")).json()
    assert ([work["name"] for work in found["works"]], list(found["left_out"])) == (["L4"], ["Z9"])
    assert "no price" in found["left_out"]["Z9"]
    alone = await http.get("/v1/plan", params={"gpu": "Z9"})
    assert (alone.status_code, "no price of Z9 is known" in alone.json()["detail"]) == (422, True)


async def test_hours_are_too_little_to_plan_from(service: Service, http) -> None:
    keep_jobs(service._broker.store, 1, NOW + 20 * HOUR_NS, held=HALF)
    answer = await http.get("/v1/plan")
    assert (answer.status_code, "has been seen for 4 hours" in answer.json()["detail"]) == (422, True)


async def test_a_broker_that_ran_nothing_says_so(http) -> None:
    answer = await http.get("/v1/plan")
    assert (answer.status_code, "no job with a GPU has run yet" in answer.json()["detail"]) == (422, True)
