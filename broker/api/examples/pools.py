"""Where the jobs of the examples may run: a rented node of eight H100, and Modal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Final

from broker.api.examples.times import NOW, TODAY, at
from broker.decide.pool_state import PoolState
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.pools import Capability, Capacity, Isolation, KeepWarm, Pool, PoolKind, UnitState
from broker.model.resources import GIB, Resources
from broker.run.service import PoolStanding

NODE: Final = Resources(cpus=192, memory_bytes=2_048 * GIB, gpus=8, gpu_model="H100", disk_bytes=1_000 * GIB)
NODE_ID: Final = "i-0a4f2c81d7be93e65"
RENTED: Final = Offer(
    id="aws/ec2/p5.48xlarge/us-east-1/on_demand",
    provider="aws",
    product="ec2",
    sku="p5.48xlarge",
    region="us-east-1",
    tier=Tier.ON_DEMAND,
    gpu_model="H100",
    gpu_count=8,
    cpus=192,
    memory_gib=2_048,
    usd_per_hour=Decimal("55.04"),
    billing=BillingRule(granularity_s=1, minimum_s=60),
    valid_from=date(2026, 10, 20),
    source="AWS Price List API, 2026-10-20",
)
COMMITTED: Final = replace(
    RENTED,
    id="aws/ec2/p5.48xlarge/us-east-1/commit_3y",
    tier=Tier.COMMIT_3Y,
    usd_per_hour=Decimal("20.6951"),
    billing=BillingRule(granularity_s=3_600),
)
BY_THE_SECOND: Final = Offer(
    id="modal/functions/h100/auto/serverless",
    provider="modal",
    product="functions",
    sku="H100",
    region="",
    tier=Tier.SERVERLESS,
    gpu_model="H100",
    gpu_count=1,
    cpus=None,
    memory_gib=None,
    usd_per_hour=Decimal("3.9492"),
    usd_per_cpu_hour=Decimal("0.02358"),
    usd_per_gib_hour=Decimal("0.007992"),
    valid_from=date(2026, 10, 1),
    source="modal.com/pricing, 2026-10-01",
)
OF_L4: Final = replace(
    BY_THE_SECOND,
    id="modal/functions/l4/auto/serverless",
    sku="L4",
    gpu_model="L4",
    usd_per_hour=Decimal("0.7992"),
)
OFFERS: Final = (COMMITTED, BY_THE_SECOND, RENTED)

CLUSTER: Final = Pool(
    name="ray",
    kind=PoolKind.CLUSTER,
    executor="ray",
    unit=NODE,
    max_units=2,
    gpu_models=("H100",),
    offers=(RENTED,),
    region="us-east-1",
    isolation=Isolation.DEDICATED,
    capabilities=frozenset({Capability.RAY_RUNTIME, Capability.GANG, Capability.FUNCTIONS, Capability.SCALE}),
    volumes="nfs-us-east-1",
    cold_start_s=240.0,
)
MODAL: Final = Pool(
    name="modal",
    kind=PoolKind.SERVERLESS,
    executor="modal",
    unit=Resources(cpus=64, memory_bytes=336 * GIB, gpus=8, gpu_model="H100", disk_bytes=512 * GIB),
    max_units=20,
    gpu_models=("H100",),
    offers=(BY_THE_SECOND,),
    capabilities=frozenset({Capability.FUNCTIONS, Capability.IMAGES, Capability.KEEP_WARM}),
    cold_start_s=12.0,
    scaledown_window_s=60.0,
)
POOLS: Final = (CLUSTER, MODAL)


def states(now_ns: int) -> tuple[PoolState, ...]:
    """The pools as a decision sees them: half of the node's GPUs are free."""
    busy = Resources(cpus=96, memory_bytes=1_024 * GIB, gpus=4, gpu_model="H100", disk_bytes=500 * GIB)
    node = UnitState(unit_id=NODE_ID, total=NODE, free=NODE.minus(busy))
    return (
        PoolState(pool=CLUSTER, capacity=Capacity(as_of_ns=now_ns, units=(node,), max_units=2)),
        PoolState(pool=MODAL, capacity=Capacity(as_of_ns=now_ns, units=(), max_units=20)),
    )


def standings() -> list[PoolStanding]:
    """The pools as they are listed."""
    found = {state.pool.name: state for state in states(NOW)}
    modal = found["modal"].capacity
    warm = replace(modal, keep_warm=KeepWarm(scaledown_window_s=60.0), note="gVisor") if modal else None
    capacities = {"ray": found["ray"].capacity, "modal": warm}
    return [PoolStanding(pool=pool, capacity=capacities[pool.name], problem=None, today=TODAY) for pool in POOLS]


UP_SINCE: Final = at("06:00")
READY_SINCE: Final = at("06:04")
