"""A broker with one pool, not running, for whoever asks its parts alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from broker.decide.rules import PlacementRules
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.ports import Clock, Store
from broker.run.broker import Broker
from broker.testing.fakes import FakeExecutor

JOB = '{"format": 1, "name": "greet", "run": "echo hi"}'
POOL = Pool(
    name="home",
    kind=PoolKind.CLUSTER,
    executor="fake",
    unit=Resources(cpus=8, memory_bytes=32 * GIB, gpus=2, gpu_model="H100", disk_bytes=100 * GIB),
    max_units=1,
    gpu_models=("H100",),
    capabilities=FakeExecutor.capabilities,
)


class NoSecrets:
    def values(self, names: Iterable[str]) -> dict[str, str]:
        return {}

    def known(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset()


def broker_of(store: Store, folder: Path, clock: Clock) -> Broker:
    return Broker(
        pools=(POOL,),
        store=store,
        clock=clock,
        secrets=NoSecrets(),
        state_dir=folder,
        rules=PlacementRules(),
        settle_every_s=3_600,
        build=FakeExecutor,
    )
