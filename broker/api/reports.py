"""Pools and the daemon's standing → the models of `broker.api.schemas`."""

from __future__ import annotations

from collections.abc import Iterable

from broker.api import schemas
from broker.api.amounts import time
from broker.api.brokers import views
from broker.api.decisions import price, resources
from broker.model.money import NS_PER_S
from broker.model.offers import Offer
from broker.model.pools import UnitState
from broker.run.service import DaemonStanding, PoolStanding


def pool(standing: PoolStanding) -> schemas.PoolView:
    """A pool with what it has now."""
    pool, capacity = standing.pool, standing.capacity
    return schemas.PoolView(
        name=pool.name,
        kind=pool.kind.value,
        executor=pool.executor,
        problem=standing.problem,
        note=capacity.note if capacity else "",
        region=pool.region,
        isolation=pool.isolation.value,
        emulated=pool.emulated,
        gpu_models=list(pool.gpu_models),
        capabilities=sorted(pool.capabilities),
        unit=resources(pool.unit),
        max_units=capacity.max_units if capacity else pool.max_units,
        max_gpus=pool.most_gpus,
        as_of=time(capacity.as_of_ns) if capacity else None,
        units=[_unit(unit) for unit in capacity.units] if capacity else [],
        backoff_until=time(capacity.backoff_until_ns) if capacity and capacity.backoff_until_ns else None,
        prices=_prices(pool.offers, standing),
        head_prices=_prices(pool.head_offers, standing),
    )


def _prices(offers: Iterable[Offer], standing: PoolStanding) -> list[schemas.PriceView]:
    return [
        price(offer, age_days=offer.age_days(standing.today), stale=offer.id in standing.stale_offers)
        for offer in offers
    ]


def _unit(unit: UnitState) -> schemas.UnitView:
    return schemas.UnitView(
        id=unit.unit_id,
        ready=unit.ready,
        total=resources(unit.total),
        free=resources(unit.free),
        warm_key=unit.warm_key,
    )


def status(standing: DaemonStanding) -> schemas.StatusView:
    """The daemon and what it has to do."""
    return schemas.StatusView(
        pid=standing.pid,
        version=standing.version,
        started_at=time(standing.started_ns),
        uptime_s=(standing.now_ns - standing.started_ns) / NS_PER_S,
        memory_bytes=standing.memory_bytes,
        counts={state.value: number for state, number in standing.counts.items()},
        problems=standing.problems,
        brokers=views(standing.member, standing.brokers),
    )
