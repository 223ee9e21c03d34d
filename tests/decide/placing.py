"""Pools, prices and jobs for tests of placement: made in one call, and drawn by hypothesis."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from broker.decide.duration import estimate
from broker.decide.policy import PlacementRules, PoolState, RunningAttempt, dispatch
from broker.model.jobs import Job, JobSpec, JobState
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.placement import Duration, Placement
from broker.model.pools import Capability, Capacity, Isolation, Pool, PoolKind, UnitState
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources

NOW = 1_795_000_000 * 10**9
S = 10**9
ALL = frozenset(Capability) - {Capability.SCALE}
NO_RULES = PlacementRules()
ASKED = {field for field in ResourceRequest.__dataclass_fields__}


def offer(usd: str = "1.00", *, tier: Tier = Tier.ON_DEMAND, gpu: str = "L4", gpus: float = 2, **fields: Any) -> Offer:
    values = {
        "id": f"acme/x/{gpu}/any/{tier}".lower(),
        "provider": "acme",
        "product": "x",
        "sku": "x",
        "region": "",
        "cpus": None,
        "memory_gib": None,
        "valid_from": date(2026, 11, 1),
        "source": "a test",
    }
    return Offer(tier=tier, gpu_model=gpu, gpu_count=gpus, usd_per_hour=Decimal(usd), **{**values, **fields})


def node(cpus: float = 4, gib: float = 8, gpus: float = 2, model: str = "L4") -> Resources:
    return Resources(cpus=cpus, memory_bytes=int(gib * GIB), gpus=gpus, gpu_model=model if gpus else "")


def cluster(name: str = "ray", usd: str | None = "1.00", unit: Resources | None = None, **fields: Any) -> Pool:
    unit = unit or node()
    offers = (offer(usd, gpu=unit.gpu_model, gpus=unit.gpus),) if usd is not None else ()
    values: dict[str, Any] = {"max_units": 1, "capabilities": ALL, "offers": offers, "cold_start_s": 90.0}
    models = (unit.gpu_model,) if unit.gpu_model else ()
    return Pool(name=name, kind=PoolKind.CLUSTER, executor="ray", unit=unit, gpu_models=models, **{**values, **fields})


def serverless(name: str = "burst", usd: str | None = "3.60", unit: Resources | None = None, **fields: Any) -> Pool:
    """One dollar in a thousand seconds, for one GPU and whatever else is in the container."""
    unit = unit or node(gpus=1)
    offers = (offer(usd, tier=Tier.SERVERLESS, gpu=unit.gpu_model, gpus=1),) if usd is not None else ()
    values: dict[str, Any] = {
        "max_units": 4,
        "capabilities": frozenset({Capability.FUNCTIONS}),
        "offers": offers,
        "cold_start_s": 4.0,
        "scaledown_window_s": 10.0,
    }
    models = (unit.gpu_model,) if unit.gpu_model else ()
    return Pool(
        name=name, kind=PoolKind.SERVERLESS, executor="local", unit=unit, gpu_models=models, **{**values, **fields}
    )


def state(
    pool: Pool,
    *,
    units: int | None = None,
    busy: Sequence[tuple[Resources, float]] = (),
    warm: Sequence[str] = (),
    **fields: Any,
) -> PoolState:
    """A cluster with all nodes up, or containers as `warm` names their environments; `busy` run on the first unit."""
    is_cluster = pool.kind is PoolKind.CLUSTER
    count = (pool.max_units if is_cluster else len(warm)) if units is None else units
    keys = list(warm) + [""] * count
    free = [pool.unit] * count
    for held, _ in busy:
        free[0] = free[0].minus(held)
    capacity = Capacity(
        as_of_ns=NOW,
        units=tuple(
            UnitState(unit_id=f"{pool.name}-{i}", total=pool.unit, free=free[i], warm_key=keys[i]) for i in range(count)
        ),
        max_units=pool.max_units,
        backoff_until_ns=fields.pop("backoff_until_ns", 0),
        replaces_idle=fields.pop("replaces_idle", False),
    )
    running = tuple(
        RunningAttempt(attempt_id=f"{pool.name}-a{i}", resources=held, remaining_s=left)
        for i, (held, left) in enumerate(busy)
    )
    return PoolState(pool=pool, capacity=capacity, running=running, **fields)


def spec(*gpus: Gpu, **fields: Any) -> JobSpec:
    """A job of ten seconds on the GPUs given; fields of resources and of the job side by side."""
    asked = {name: fields.pop(name) for name in list(fields) if name in ASKED}
    values: dict[str, Any] = {"name": "t", "run": "true", "est_runtime_s": 10.0}
    return JobSpec(resources=ResourceRequest(gpu_choices=gpus, **asked), **{**values, **fields})


def l4(count: float = 1.0) -> Gpu:
    return Gpu(model="L4", count=count)


def job(of: JobSpec, id: str = "j", **fields: Any) -> Job:
    values: dict[str, Any] = {"state": JobState.QUEUED, "user": "u", "submitted_ns": NOW}
    return Job(id=id, spec=of, **{**values, **fields})


def decide(
    of: JobSpec, *states: PoolState, rules: PlacementRules = NO_RULES, now_ns: int = NOW, **more: Any
) -> Placement:
    """The placement of one job."""
    (placement,) = decide_all([of], *states, rules=rules, now_ns=now_ns, **more)
    return placement


def decide_all(
    specs: Sequence[JobSpec], *states: PoolState, rules: PlacementRules = NO_RULES, now_ns: int = NOW, **more: Any
) -> tuple[Placement, ...]:
    """The placements of several jobs, submitted now."""
    jobs = [job(one, f"j{index}") for index, one in enumerate(specs)]
    durations: dict[str, Duration] = {one.id: estimate(one.spec, ()) for one in jobs}
    return dispatch(jobs, states, durations, now_ns, rules, **more)


def repriced(state_: PoolState, factor: str) -> PoolState:
    """The same pool at another price."""
    offers = tuple(replace(one, usd_per_hour=one.usd_per_hour * Decimal(factor)) for one in state_.pool.offers)
    return replace(state_, pool=replace(state_.pool, offers=offers))


MODELS = ("L4", "H100")
REGIONS = ("", "eu-west", "us-east")


def gpus() -> st.SearchStrategy[Gpu]:
    counts = st.sampled_from([0.25, 0.5, 0.6, 1.0, 1.5, 2.0, 3.0])
    return st.builds(Gpu, model=st.sampled_from(["", *MODELS]), count=counts)


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    choice = draw(st.lists(gpus(), max_size=2))
    return spec(
        *choice,
        gpu_ordered=False,
        cpus=draw(st.sampled_from([None, 0.5, 1.0, 3.0])),
        memory_bytes=draw(st.sampled_from([None, GIB, 6 * GIB])),
        num_nodes=draw(st.sampled_from([1, 1, 1, 2])),
        spot_policy=draw(st.sampled_from(["auto", "auto", "spot", "on-demand"])),
        max_hourly_cost=draw(st.sampled_from([None, None, "0.5", "2"])),
        est_runtime_s=draw(st.sampled_from([None, 1.0, 60.0, 3_600.0])),
        max_wait_s=draw(st.sampled_from([None, 0.0, 30.0, 10_000.0])),
        deadline_ns=draw(st.sampled_from([None, None, NOW + 100 * S, NOW + 10_000 * S])),
        max_cost_usd=draw(st.sampled_from([None, None, "0.01", "5"])),
        runtime=draw(st.sampled_from(["any", "any", "ray"])),
        regions=draw(st.sampled_from([(), (), ("eu",), ("us-east",)])),
        isolation=draw(st.sampled_from([Isolation.SHARED, Isolation.SHARED, Isolation.DEDICATED])),
        pools_allowed=draw(st.sampled_from([(), (), ("p0",), ("p1/eu",)])),
        pools_denied=draw(st.sampled_from([(), (), ("p0",), ("p2/us",)])),
        image=draw(st.sampled_from([None, None, "debian"])),
    )


@st.composite
def pools(draw: st.DrawFn, name: str) -> Pool:
    kind = draw(st.sampled_from(list(PoolKind)))
    unit = node(
        cpus=draw(st.sampled_from([1.0, 4.0])),
        gib=draw(st.sampled_from([2, 8])),
        gpus=draw(st.sampled_from([0.0, 1.0, 2.0])),
        model=draw(st.sampled_from(MODELS)),
    )
    tier = draw(st.sampled_from([Tier.ON_DEMAND, Tier.SPOT, Tier.COMMIT_1Y]))
    tier = Tier.SERVERLESS if kind is PoolKind.SERVERLESS else tier
    usd = draw(st.sampled_from([None, "0.20", "1.00", "4.00", "40.00"]))
    priced = offer(usd or "0", tier=tier, gpu=unit.gpu_model, gpus=unit.gpus, billing=BillingRule(minimum_s=30))
    made = cluster if kind is PoolKind.CLUSTER else serverless
    return made(
        name,
        unit=unit,
        offers=(priced,) if usd else (),
        max_units=draw(st.integers(1, 3)),
        region=draw(st.sampled_from(REGIONS)),
        isolation=draw(st.sampled_from(list(Isolation))),
        capabilities=draw(st.frozensets(st.sampled_from(list(Capability)))),
        cold_start_s=draw(st.sampled_from([0.0, 5.0, 100.0])),
    )


@st.composite
def pool_states(draw: st.DrawFn, name: str) -> PoolState:
    pool = draw(pools(name))
    units = draw(st.integers(0, pool.max_units))
    part = replace(
        pool.unit, cpus=pool.unit.cpus / 2, memory_bytes=pool.unit.memory_bytes // 2, gpus=pool.unit.gpus / 2
    )
    held = draw(st.lists(st.tuples(st.just(part), st.sampled_from([5.0, 50.0, 5_000.0])), max_size=2)) if units else []
    return state(
        pool,
        units=units,
        busy=held,
        problem=draw(st.sampled_from([None, None, None, "it does not answer"])),
        backoff_until_ns=draw(st.sampled_from([0, 0, NOW + 20 * S])),
    )


def some_pools(least: int = 1, most: int = 3) -> st.SearchStrategy[list[PoolState]]:
    return st.integers(least, most).flatmap(
        lambda count: st.tuples(*(pool_states(f"p{index}") for index in range(count))).map(list)
    )
