"""A broker with five weeks of work behind it, fake pools, and its real HTTP server on a port of this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from broker.api.app import create_app
from broker.api.listening import loopback
from broker.model.jobs import Attempt, AttemptState
from broker.model.money import Money
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool
from broker.model.resources import GIB, Resources
from broker.model.usage import Book, Charge, ChargeKind, UsageReport
from broker.ports import ExecutorContext, Store
from broker.run.attempts.dispatch import PlacementRules
from broker.run.broker import Broker
from broker.run.clock import SystemClock
from broker.run.service import Service
from broker.run.store import open_store
from broker.testing.fakes import FakeExecutor
from tests.run.past import AT_ONCE, BURST, DAY_NS, HOUR_NS, RAY, keep_foresight, keep_jobs, offer

TOKEN = "a-token-of-this-test"
DAYS = 35
NODE = Resources(cpus=4, memory_bytes=8 * GIB, gpus=1, gpu_model="L4")
HALF = Resources(cpus=2, memory_bytes=4 * GIB, gpus=0.5, gpu_model="L4")
T = TypeVar("T")
Fill = Callable[[Store, int], None]


def priced(name: str, tier: Tier, usd: str, **more: Any) -> Offer:
    return replace(offer(name, tier, usd), gpu_model="L4", gpu_count=1, valid_from=datetime.now(UTC).date(), **more)


POOLS = (
    replace(RAY, unit=NODE, gpu_models=("L4",), offers=(priced("g6.xlarge", Tier.ON_DEMAND, "0.80"),)),
    replace(
        BURST,
        unit=NODE,
        gpu_models=("L4",),
        offers=(
            priced(
                "functions", Tier.SERVERLESS, "0.80", usd_per_cpu_hour=Decimal("0.1"), usd_per_gib_hour=Decimal("0.02")
            ),
        ),
    ),
)


NAMES = ("train-resnet", "embed-corpus", "eval-nightly", "finetune-lora")
RATES = {"ray": "0.80", "burst": "1.36"}  # dollars per hour of a node, of its work in containers


def keep_bills(store: Store, attempts: Sequence[Attempt], now_ns: int) -> None:
    """What each job cost: half a node's time. And what the cluster cost while two of its nodes were idle."""
    for pool, rate in RATES.items():
        charges = [_charge(pool, each, rate) for each in attempts if each.pool == pool and each.ended_ns]
        if pool == "ray":
            idle = replace(charges[0], attempt_id=None, kind=ChargeKind.IDLE, amount=Money.of_usd("9.60"))
            begins = range(now_ns - DAYS * DAY_NS, now_ns, DAY_NS)
            charges += [replace(idle, key=f"idle-{at}", started_ns=at, ended_ns=at + DAY_NS // 2) for at in begins]
        store.settle(pool, UsageReport(as_of_ns=now_ns, units=(), attempts=()), charges)


def _charge(pool: str, attempt: Attempt, rate: str) -> Charge:
    started_ns, ended_ns = attempt.started_ns or 0, attempt.ended_ns or 0
    hours = Decimal(ended_ns - started_ns) / HOUR_NS
    return Charge(
        key=attempt.id,
        book=Book.METERED,
        kind=ChargeKind.JOB,
        pool=pool,
        unit_id=f"{pool}-1",
        attempt_id=attempt.id,
        started_ns=started_ns,
        ended_ns=ended_ns,
        amount=Money.of_usd(round(Decimal(rate) * hours / 2, 9)),
        offer=None,
    )


def five_weeks(store: Store, now_ns: int) -> None:
    """Work by day, its bills, and what was forecast of it."""
    keep_bills(store, keep_jobs(store, DAYS, now_ns, NAMES, HALF), now_ns)
    keep_foresight(store, 7, now_ns, POOLS[0])


class NoSecrets:
    def values(self, names: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(names, "secret")

    def known(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset()


class Site:
    """The server, in a thread of its own with its own event loop."""

    def __init__(
        self, folder: Path, fill: Fill = five_weeks, pools: Sequence[Pool] = POOLS, before: Site | None = None
    ) -> None:
        """`before` has ended, and this is the next at its address: what ran in its pools still does."""
        self.executors: dict[str, FakeExecutor] = {}
        self._before = before.executors if before else {}
        self.store = open_store(f"sqlite:///{folder / 'broker.db'}")
        clock = SystemClock()
        fill(self.store, clock.now_ns())
        self.broker = Broker(
            pools=tuple(pools),
            store=self.store,
            clock=clock,
            secrets=NoSecrets(),
            state_dir=folder,
            rules=PlacementRules(),
            settle_every_s=3600,
            build=self._build,
        )
        self.service = Service(self.broker, user="ann")
        self.service.studies.process = AT_ONCE
        self._loop = asyncio.new_event_loop()
        self._sock = loopback(before.port if before else 0, "dashboard")
        self.port: int = self._sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve)
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(self.service, TOKEN), log_level="error", lifespan="off", timeout_graceful_shutdown=1
            )
        )

    def _build(self, context: ExecutorContext) -> FakeExecutor:
        made = self.executors.setdefault(context.pool.name, FakeExecutor(context))
        if before := self._before.get(context.pool.name):
            made.runs, made.version, made.opened_ns = before.runs, before.version, before.opened_ns
        return made

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        running = asyncio.create_task(self.broker.run())
        await self._server.serve(sockets=[self._sock])
        self.broker.detach()
        await running

    def __enter__(self) -> Site:
        self._thread.start()
        self.do(self.broker.ready(lambda _: None))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.broker.detach)  # so that what follows a job ends
        self._server.should_exit = True
        self._thread.join(150)
        self.store.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(150)

    def submit(self, **fields: Any) -> str:
        """Submits a job and returns its id."""
        return self.do(self.service.submissions.submit({"run": "echo hi", **fields}, "ann")).id

    def move(self, job_id: str, state: AttemptState, stdout: bytes = b"", **more: Any) -> None:
        """Moves the attempt of a job, once its executor has it."""
        self.do(self._move(job_id, state, stdout, **more))

    async def _move(self, job_id: str, state: AttemptState, stdout: bytes, **more: Any) -> None:
        async with asyncio.timeout(150):
            while True:
                version = self.broker.version
                for executor in self.executors.values():
                    for attempt_id in executor.running():
                        if attempt_id.rpartition("-a")[0] == job_id:
                            executor.runs[attempt_id].stdout += stdout
                            await executor.move(attempt_id, state, **more)
                            return
                await self.broker.changed(version, 0.05)
