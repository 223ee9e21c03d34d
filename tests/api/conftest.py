"""A running broker with two fake pools behind its real API: `house` for its parts, `http` to ask it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from broker.api.app import create_app
from broker.api.limits import DEFAULT
from broker.decide.throttle import Rate
from broker.model.jobs import AttemptState
from broker.model.offers import Offer, Tier
from broker.model.pools import Isolation, Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.run.attempts.dispatch import PlacementRules
from broker.run.broker import Broker
from broker.run.clock import SystemClock
from broker.run.service import Service
from broker.run.store import open_store
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.fakes import FakeExecutor

WAIT_S = PATIENCE_S
PATIENT = replace(DEFAULT, failures=Rate(per_s=1.0, burst=1_000))  # with tests that send many wrong tokens


def offer(pool: str, tier: Tier, **changes: Any) -> Offer:
    values: dict[str, Any] = {
        "id": f"test/{pool}/{tier.value}",
        "provider": "test",
        "product": pool,
        "sku": pool,
        "region": "",
        "tier": tier,
        "gpu_model": "H100",
        "gpu_count": 2 if tier is not Tier.SERVERLESS else 1,
        "cpus": 8,
        "memory_gib": 32,
        "usd_per_hour": Decimal("3.60"),
        "valid_from": date(2020, 1, 1),
        "source": "the test",
    }
    return Offer(**values | changes)


def pool(name: str, kind: PoolKind, **changes: Any) -> Pool:
    tier = Tier.ON_DEMAND if kind is PoolKind.CLUSTER else Tier.SERVERLESS
    values: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "executor": "fake",
        "unit": Resources(cpus=8, memory_bytes=32 * GIB, gpus=2, gpu_model="H100", disk_bytes=100 * GIB),
        "max_units": 1,
        "gpu_models": ("H100",),
        "offers": (offer(name, tier),),
        "region": "eu-west-1",
        "emulated": kind is PoolKind.SERVERLESS,
        "isolation": Isolation.DEDICATED if kind is PoolKind.CLUSTER else Isolation.SHARED,
        "capabilities": FakeExecutor.capabilities,
    }
    return Pool(**values | changes)


class NoSecrets:
    def values(self, names: Iterable[str]) -> dict[str, str]:
        return {name: "secret" for name in names}

    def known(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset()


@dataclass
class House:
    """A broker, its executors by pool, and its service."""

    state_dir: Path
    store_url: str
    pools: tuple[Pool, ...]
    executors: dict[str, FakeExecutor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = open_store(self.store_url)
        self.clock = SystemClock()
        self.broker = Broker(
            pools=self.pools,
            store=self.store,
            clock=self.clock,
            secrets=NoSecrets(),
            state_dir=self.state_dir,
            rules=PlacementRules(),
            settle_every_s=3600,
            build=self._build,
        )
        self.service = Service(self.broker)

    def _build(self, context: ExecutorContext) -> FakeExecutor:
        return self.executors.setdefault(context.pool.name, FakeExecutor(context))

    async def attempt_of(self, job_id: str) -> tuple[FakeExecutor, str]:
        """Where the last attempt of a job is, once its executor has it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                version = self.broker.version
                for executor in self.executors.values():
                    for attempt_id in executor.running():
                        if attempt_id.rpartition("-a")[0] == job_id:
                            return executor, attempt_id
                await self.broker.changed(version, 0.05)

    async def start(self, job_id: str) -> tuple[FakeExecutor, str]:
        """Lets the job run."""
        executor, attempt_id = await self.attempt_of(job_id)
        await executor.move(attempt_id, AttemptState.RUNNING)
        await self.reaches(job_id, "running")
        return executor, attempt_id

    async def end(self, job_id: str, state: AttemptState = AttemptState.SUCCEEDED, exit_code: int | None = 0) -> None:
        """Ends the job's attempt, from wherever it is."""
        executor, attempt_id = await self.attempt_of(job_id)
        if executor.runs[attempt_id].report.state is AttemptState.STARTING:
            await executor.move(attempt_id, AttemptState.RUNNING)
        await executor.move(attempt_id, state, exit_code=exit_code)
        await self.reaches(job_id, *(("succeeded",) if state is AttemptState.SUCCEEDED else ("failed", "queued")))

    async def nobody_waits(self) -> None:
        """Returns when the broker has seen that its queue is empty."""
        register = self.broker.register
        async with asyncio.timeout(WAIT_S):
            while not register.queue_seen_empty or register.work.is_set():
                await asyncio.sleep(0.01)

    async def reaches(self, job_id: str, *states: str) -> None:
        """Returns when the store has the job in one of these states, and the broker has told that."""
        async with asyncio.timeout(WAIT_S):
            while True:
                version = self.broker.version
                if (await asyncio.to_thread(self.store.job, job_id)).state in states:
                    async with self.broker.register._writing:  # whoever wrote it has told it as well
                        return
                await self.broker.changed(version, 0.05)


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "template.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def pools() -> tuple[Pool, ...]:
    """What the broker has; a test that wants others is parametrized with them."""
    return pool("steady", PoolKind.CLUSTER), pool("burst", PoolKind.SERVERLESS)


@pytest.fixture
async def house(store_template: Path, tmp_path: Path, pools: tuple[Pool, ...]) -> AsyncIterator[House]:
    shutil.copy(store_template, tmp_path / "broker.db")
    house = House(tmp_path, f"sqlite:///{tmp_path / 'broker.db'}", pools)
    running = asyncio.create_task(house.broker.run())
    async with asyncio.timeout(WAIT_S):
        await house.broker.ready(lambda _: None)
    yield house
    house.broker.detach()
    await running
    house.store.close()


class OneApp:
    """One application, of the service that is there now: to make one takes longer than most tests."""

    def __init__(self) -> None:
        self._app: FastAPI | None = None

    def of(self, service: Service) -> FastAPI:
        self._service = service
        if self._app is None:
            self._app = create_app(self)  # type: ignore[arg-type]
        return self._app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)


@pytest.fixture(scope="session")
def one_app() -> OneApp:
    return OneApp()


@pytest.fixture
async def http(house: House, one_app: OneApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(one_app.of(house.service))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", timeout=None) as client:
        yield client


@pytest.fixture
async def submitted(http: httpx.AsyncClient) -> str:
    """The id of a job that was just submitted."""
    response = await http.post("/v1/jobs", json={"run": "echo hi", "name": "greet"})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])
