"""Forecast, accuracy and counterfactual of a broker with weeks behind it: what the API answers and people read."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.api.app import create_app
from broker.cli import capacity
from broker.cli.sparkline import sparkline
from broker.decide.rules import PlacementRules
from broker.run.broker import Broker
from broker.run.service import Service
from broker.run.service.capacity import CapacityAnswers
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store import SqlStore, open_store
from broker.testing.fakes import FakeClock, FakeExecutor
from tests.run.past import BURST, COMMIT, DAY_NS, HOUR_NS, RAY, keep_foresight, keep_work

DAYS, FORESEEN = 16, 3
NOW = 20_500 * DAY_NS + 11 * HOUR_NS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('past') / 'broker.db'}")
    keep_work(opened, DAYS, NOW)
    keep_foresight(opened, FORESEEN, NOW)
    yield opened
    opened.close()


def made_broker(store: SqlStore, state_dir: Path) -> Broker:
    return Broker(
        pools=(RAY, BURST),
        store=store,
        clock=FakeClock(NOW),
        secrets=ConfiguredSecrets(prefix="BROKER_SECRET_", file=None),
        state_dir=state_dir,
        rules=PlacementRules(),
        settle_every_s=3_600.0,
        book=[COMMIT],
        build=FakeExecutor,
    )


@pytest.fixture
def broker(store: SqlStore, tmp_path: Path) -> Broker:
    return made_broker(store, tmp_path)


@pytest.fixture
async def past(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(Service(broker)))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", timeout=None) as client:
        yield client


async def asked(past: httpx.AsyncClient, path: str) -> Any:
    answer = await past.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_forecast_of_each_pool_with_bands_and_why(past, capsys: pytest.CaptureFixture[str]) -> None:
    burst, ray = (await asked(past, "forecast"))["forecasts"]
    assert (burst["pool"], ray["pool"], ray["max_units"]) == ("burst", "ray", 6)
    outlook = ray["outlook"]
    assert len(outlook["quantiles"]) == len(outlook["levels"]) and len(outlook["quantiles"][0]) == 48
    assert all(low <= high + 1e-9 for low, high in zip(outlook["quantiles"][0], outlook["quantiles"][-1], strict=True))
    capacity._print_forecast(ray)
    said = capsys.readouterr().out
    assert "ray: units busy in the next 48 h, at most 6" in said
    assert "median" in said and "█" in said and outlook["reason"] in said
    capacity._print_forecast({**ray, "outlook": None})
    assert "nothing has run yet" in capsys.readouterr().out


async def test_day_by_day_what_was_thought_and_what_came(past, capsys: pytest.CaptureFixture[str]) -> None:
    (account,) = (await asked(past, "accuracy?pool=ray&period=5d"))["accounts"]
    days = {day["day"]: day for day in account["days"]}
    assert list(days) == ["2026-02-11", "2026-02-12", "2026-02-13", "2026-02-14", "2026-02-15", "2026-02-16"]
    judged = [day for day in days.values() if day["forecast"] is not None]
    assert [day["day"] for day in judged] == ["2026-02-13", "2026-02-14", "2026-02-15"]
    for day in judged:
        assert day["low"] <= day["forecast"] <= day["high"]
        assert 0.5 <= day["coverage"] <= 1.0 and abs(day["forecast"] - day["busy"]) < 1.0
        assert int(day["error_cost"]["nanodollars"]) >= 0 and day["planned"] == 2.0
    assert days["2026-02-15"]["paid"]["usd"] == "48.00" and days["2026-02-16"]["hours"] == 11.0
    capacity._print_account(account)
    said = capsys.readouterr().out
    assert "errors of the forecasts cost $" in said and "no forecast was kept" in said


async def test_what_else_it_could_have_cost(past, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = (await asked(past, "counterfactual?period=7d"))["counterfactuals"]
    costs = {each["name"]: each["cost"]["nanodollars"] for each in found["alternatives"]}
    assert set(costs) == {"hindsight", "policy", "best-static", "all-serverless", "peak"}
    assert min(costs, key=lambda name: costs[name]) == "hindsight"
    assert found["paid"]["usd"] == f"{7 * 54 + 1}.00"  # not what work cost that the cluster could not have had
    assert found["regret"] == pytest.approx(found["paid"]["nanodollars"] / costs["hindsight"])
    capacity._print_counterfactual(found)
    said = capsys.readouterr().out
    assert "what was paid" in said and "regret:" in said and "note: the work is what ran in ray" in said


async def test_the_time_before_the_first_job_is_told_apart(past) -> None:
    """Work of 16 days: in it a week is a week, a longer time begins with the first job."""
    whole, longer = [(await asked(past, f"demand?pool=ray&period={each}"))["demands"][0] for each in ("7d", "30d")]
    assert whole["seen_since"] == whole["since"]
    assert longer["since"] < longer["seen_since"] and not any(longer["busy"][:10])
    (found,) = (await asked(past, "counterfactual?period=30d"))["counterfactuals"]
    assert found["since"] == longer["seen_since"]


async def test_many_that_ask_at_once_leave_threads_for_the_brokers_own_work(
    past: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing, may_end = threading.Event(), threading.Event()

    def slow(*_: object) -> tuple[()]:
        computing.set()
        may_end.wait()
        return ()

    monkeypatch.setattr(CapacityAnswers, "_demands", slow)
    asking = [asyncio.create_task(past.get("/v1/demand", params={"period": f"{hours}h"})) for hours in range(1, 61)]
    try:
        async with asyncio.timeout(60):
            await asyncio.to_thread(computing.wait)
            for _ in range(60):  # a store's call, or any other
                await asyncio.to_thread(int)
    finally:
        may_end.set()
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("forecast?pool=x", 404, "there is no pool 'x'; there are burst, ray"),
        ("counterfactual?pool=burst", 422, "is serverless: name a cluster"),
        ("accuracy?period=nonsense", 422, "is no period"),
        ("accuracy?period=2031", 422, "has not begun yet"),
        ("counterfactual?period=500d", 422, "longer than 400 days"),
    ],
)
async def test_what_can_not_be_answered_is_said(past, path: str, status: int, words: str) -> None:
    answer = await past.get(f"/v1/{path}")
    assert answer.status_code == status and words in answer.json()["detail"]


async def test_forecasts_are_kept_once_an_hour_and_known_to_placements(broker: Broker, store: SqlStore) -> None:
    running = broker.pools["ray"]
    first = await broker.forecasting.step(running)
    assert first is not None and store.last_outlook("ray") == first
    assert await broker.forecasting.step(running) == first
    assert len(store.outlooks("ray", NOW, NOW + HOUR_NS)) == 1
    expected = broker.forecasting.expected["ray"]
    assert len(expected.full) == 48 and expected.usd_per_unit_hour == 2
    assert "burst" not in broker.forecasting.expected


async def test_a_schedule_is_forecast_before_it_first_fires(tmp_path: Path) -> None:
    """By a broker that has run nothing yet; one whose job can't be read any more is left out."""
    opened = open_store(f"sqlite:///{tmp_path / 'new.db'}")
    service = Service(made_broker(opened, tmp_path))
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", timeout=None) as client:
        job = {"run": "true", "resources": {"cpus": 4, "memory": "8GB"}, "est_runtime": "2h"}
        made = await client.post("/v1/schedules", json={"name": "nightly", "cron": "0 2 * * *", "job": job})
        assert made.status_code < 300, made.text
        opened.add_schedule(replace(opened.schedule("nightly"), id="0", name="broken", document='{"run": 5}'))
        burst, ray = (await asked(client, "forecast"))["forecasts"]
        assert burst["outlook"] is None
        assert "nightly, 1 node in 15 h for about 2 h" in ray["outlook"]["reason"]
    opened.close()


async def test_a_commitment_is_proposed_and_shown(broker: Broker, past: httpx.AsyncClient) -> None:
    made = await broker.autopilot.proposal(broker.pools["ray"])
    assert made is not None
    (shown,) = (await asked(past, "autopilot"))["proposals"]
    assert (shown["offer_id"], shown["nodes"], shown["days"]) == (COMMIT.id, 1, 30)


@pytest.mark.parametrize(
    ("values", "most", "line"),
    [([0.0, 0.001, 1.0, 2.0, 9.0], 2.0, " ▁▄██"), ([], 1.0, ""), ([1.0], 0.0, " ")],
)
def test_a_sparkline_is_as_tall_as_its_numbers(values: list[float], most: float, line: str) -> None:
    assert sparkline(values, most) == line
