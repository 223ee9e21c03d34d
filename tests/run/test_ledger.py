from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from broker.model.errors import BrokerError, ExecutorError, StoreError, Unreachable
from broker.model.jobs import AttemptState, JobSpec, LaunchRequest
from broker.model.money import NS_PER_S, Money
from broker.model.pools import Pool, PoolKind
from broker.model.query import SpendFilter
from broker.model.resources import GIB, Resources
from broker.model.usage import Charge, ChargeKind, UnitUsage, UsageReport
from broker.ports import ExecutorContext
from broker.run.money.ledger import Ledger, prices
from broker.run.store import SqlStore, open_store
from broker.testing import builders
from broker.testing.fakes import FakeClock, FakeExecutor
from broker.testing.store_values import NOW_NS, OFFER, attempt, job

NODE = Resources(cpus=8, memory_bytes=64 * GIB, gpus=OFFER.gpu_count, gpu_model="H100")


@pytest.fixture
def store(sqlite_url: str) -> Iterator[SqlStore]:
    opened = open_store(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW_NS)


@pytest.fixture
def pool() -> Pool:
    return Pool(name="home", kind=PoolKind.CLUSTER, executor="fake", unit=NODE, max_units=1, offers=(OFFER,))


@pytest.fixture
async def executor(pool: Pool, clock: FakeClock, tmp_path: Path) -> FakeExecutor:
    made = FakeExecutor(ExecutorContext(pool=pool, state_dir=tmp_path, clock=clock))
    await made.open()
    return made


def total(charges: Sequence[Charge]) -> Money:
    return Money.total(charge.amount for charge in charges if charge.amount)


async def run(executor: FakeExecutor, store: SqlStore, clock: FakeClock, seconds: float) -> None:
    """One job that holds the whole node for some seconds."""
    store.add_jobs([job("a")], "{}", "h")
    store.record(attempts=[attempt(job("a"), resources=NODE)])
    spec = JobSpec(name="a", argv=("true",))
    await executor.launch(LaunchRequest(attempt_id="a-a1", job_id="a", spec=spec, resources=NODE, envs={}))
    clock.advance(seconds)
    await executor.move("a-a1", AttemptState.SUCCEEDED, exit_code=0)


async def test_what_a_pool_used_is_charged(
    store: SqlStore, clock: FakeClock, pool: Pool, executor: FakeExecutor
) -> None:
    ledger = Ledger(store, clock)
    clock.advance(10)
    await run(executor, store, clock, 20)
    clock.advance(30)
    charges = await ledger.settle(pool, executor)
    rate = OFFER.usd_per_hour
    amounts = [(charge.kind, charge.attempt_id, charge.amount) for charge in charges]
    assert sorted(amounts, key=str) == [
        (ChargeKind.IDLE, None, Money.of_rate(rate, 10 * NS_PER_S)),
        (ChargeKind.IDLE, None, Money.of_rate(rate, 60 * NS_PER_S) - Money.of_rate(rate, 30 * NS_PER_S)),
        (ChargeKind.JOB, "a-a1", Money.of_rate(rate, 30 * NS_PER_S) - Money.of_rate(rate, 10 * NS_PER_S)),
    ]
    assert set(store.charges(pool="home")) == set(charges)
    assert store.watermark("home") == clock.ns
    assert {charge.offer for charge in charges} == {OFFER}


async def test_settling_again_charges_nothing_more(
    store: SqlStore, clock: FakeClock, pool: Pool, executor: FakeExecutor
) -> None:
    ledger = Ledger(store, clock)
    await run(executor, store, clock, 20)
    first = await ledger.settle(pool, executor)
    assert await Ledger(store, clock).settle(pool, executor) == ()
    assert set(store.charges(pool="home")) == set(first)


async def test_many_settlements_at_once_add_up(
    store: SqlStore, clock: FakeClock, pool: Pool, executor: FakeExecutor
) -> None:
    ledger = Ledger(store, clock)
    await run(executor, store, clock, 7)
    for _ in range(5):
        clock.advance(1.1)
        await asyncio.gather(*(ledger.settle(pool, executor) for _ in range(4)))
    lived_ns = clock.ns - (executor.opened_ns or 0)
    (row,) = store.spend(SpendFilter())
    assert row.total == Money.of_rate(OFFER.usd_per_hour, lived_ns)
    assert row.job == Money.of_rate(OFFER.usd_per_hour, 7 * NS_PER_S)


async def test_a_store_that_failed_loses_nothing(
    store: SqlStore, clock: FakeClock, pool: Pool, executor: FakeExecutor, tmp_path: Path
) -> None:
    class FullDisk(SqlStore):
        def settle(self, pool: str, report: UsageReport, charges: Sequence[Charge]) -> None:
            raise StoreError("the disk is full")

    await run(executor, store, clock, 20)
    with pytest.raises(StoreError, match="disk is full"):
        await Ledger(FullDisk(store._engine), clock).settle(pool, executor)
    clock.advance(1)
    charges = await Ledger(store, clock).settle(pool, executor)
    assert total(charges) == Money.of_rate(OFFER.usd_per_hour, 21 * NS_PER_S)


@pytest.mark.parametrize(
    ("error", "raised"), [(Unreachable("no answer"), Unreachable), (KeyError("bug"), ExecutorError)]
)
async def test_a_pool_that_fails_is_told_and_holds_up_no_other(
    store: SqlStore, clock: FakeClock, pool: Pool, executor: FakeExecutor, error: Exception, raised: type[BrokerError]
) -> None:
    class Broken(FakeExecutor):
        async def usage(self, since_ns: int) -> UsageReport:
            raise error

    ledger = Ledger(store, clock)
    broken = Pool(name="cloud", kind=PoolKind.CLUSTER, executor="broken", unit=NODE, max_units=1)
    clock.advance(1)
    failed, settled = await asyncio.gather(
        ledger.settle(broken, Broken(executor.context)), ledger.settle(pool, executor), return_exceptions=True
    )
    assert isinstance(failed, raised)
    assert isinstance(settled, tuple) and len(settled) == 1
    assert store.watermark("cloud") == 0


async def test_time_that_can_t_be_is_refused(
    store: SqlStore, clock: FakeClock, pool: Pool, executor: FakeExecutor
) -> None:
    ledger = Ledger(store, clock)
    clock.advance(10)
    await ledger.settle(pool, executor)
    clock.advance(-5)
    with pytest.raises(ExecutorError, match=r"5\.000 s before what is already charged"):
        await ledger.settle(pool, executor)
    slow = FakeClock(clock.ns - 7 * NS_PER_S)
    with pytest.raises(ExecutorError, match=r"7\.000 s from now: check its clock"):
        await Ledger(store, slow).settle(pool, executor)
    assert len(store.charges(pool="home")) == 1


def test_a_head_has_a_price_of_its_own(pool: Pool) -> None:
    head = UnitUsage(unit_id="h", resources=Resources(cpus=2.0), started_ns=0, ready_ns=None, ended_ns=None, head=True)
    apart = replace(pool, head_offers=(builders.offer(usd_per_hour=Decimal("0.25")),))
    found = prices(apart)(head, NOW_NS)
    assert found is not None and found.usd_per_hour == Decimal("0.25")
    assert prices(pool)(head, NOW_NS) is None, "unknown, and not that of a node"
    assert prices(pool)(replace(head, head=False), NOW_NS) is not None


async def test_a_pool_without_a_price_costs_an_unknown_amount(
    store: SqlStore, clock: FakeClock, executor: FakeExecutor
) -> None:
    unpriced = Pool(name="home", kind=PoolKind.CLUSTER, executor="fake", unit=NODE, max_units=1)
    clock.advance(10)
    (charge,) = await Ledger(store, clock).settle(unpriced, executor)
    assert (charge.amount, charge.offer) == (None, None)
    (row,) = store.spend(SpendFilter())
    assert (row.total, row.unknown) == (Money(0), 1)
