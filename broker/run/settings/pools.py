"""What the configuration says about each pool → `Pool` values with their prices; or the pools of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from broker.model.errors import InvalidInput, Misconfigured, Problem
from broker.model.offers import Offer
from broker.model.pools import Capability, Isolation, Pool, PoolKind, WarmLimits
from broker.model.resources import GIB, Resources
from broker.model.volumes import ON_THIS_MACHINE
from broker.run.plugins import EXECUTORS, installed
from broker.run.settings.gpu_devices import shared_out
from broker.run.settings.machine import Machine
from broker.run.settings.pool_document import OwnPart, PoolPart, PricePart, WarmPart
from broker.run.settings.prices import WrongPrice, offers_of
from broker.spec.accelerators import Accelerators
from broker.spec.source import Keys, Tree
from broker.spec.validation_errors import nearest

MEMORY_SHARE: Final = 0.7  # of this machine, that its pools may use where nothing else is said
DEFAULT_SCALEDOWN_S: Final = 60.0
_LOCAL_SCALEDOWN_S: Final = 10.0
_ASSUMED_ON: Final = date(2026, 11, 23)
_ASSUMPTION: Final = "assumption, to be replaced by your own numbers: $2,500 for a machine, 4 years, 200 W, $0.15/kWh"
_ASSUMED: Final = OwnPart(purchase_usd=2_500, years=4, power_w=200, usd_per_kwh=0.15)

_OF_THE_OTHER_KIND: Final = {
    "cluster": {"max_containers": ": say max_nodes", "scaledown_window": "", "keep_warm": ""},
    "serverless": {"max_nodes": ": say max_containers", "nodes": ""},
}

Capabilities = Callable[[str], frozenset[Capability]]
Found = Iterator[tuple[Keys, str]]


def default_pools(machine: Machine, offers: Sequence[Offer], capabilities: Capabilities) -> tuple[Pool, ...]:
    """A Ray cluster of one node and a serverless pool, both on this machine.

    The cluster's price is an assumption and says so; the serverless pool costs what Modal's sandboxes do, or what is
    not known where `offers` do not have them.
    """
    sold = [offer for offer in offers if (offer.provider, offer.product) == ("modal", "sandbox")]
    parts = {
        "ray": PoolPart.model_validate(
            {
                "executor": "ray",
                "kind": "cluster",
                "max_nodes": 1,
                "isolation": "dedicated",
                "accelerators": f"{machine.gpu_model}:{machine.gpu_count}" if machine.gpu_model else None,
                "price": PricePart(own=_ASSUMED, source="assumption", as_of=_ASSUMED_ON),
            }
        ),
        "serverless": PoolPart.model_validate(
            {
                "executor": "local_serverless",
                "kind": "serverless",
                "max_containers": max(int(2 * machine.cpus), 1),
                "scaledown_window": _LOCAL_SCALEDOWN_S,
                "price": PricePart(provider="modal", product="sandbox") if sold else None,
            }
        ),
    }
    ray, serverless = make_pools(parts, Tree(data={}), machine, offers, capabilities, _ASSUMED_ON)
    assumed = tuple(replace(offer, note=f"{_ASSUMPTION}; {offer.note}") for offer in ray.offers)
    return replace(ray, offers=assumed), serverless


def make_pools(
    parts: Mapping[str, PoolPart],
    tree: Tree,
    machine: Machine,
    offers: Sequence[Offer],
    capabilities: Capabilities,
    since: date | None,
) -> tuple[Pool, ...]:
    """The pools that `parts` describe. Raises `InvalidInput` with everything that is wrong, and where in `tree`."""
    pools: list[Pool] = []
    problems: list[Problem] = []
    here = {name: part for name, part in parts.items() if is_local(part) and part.accelerators and not part.emulated}
    devices, too_few = shared_out(here, machine.gpu_count)
    for name, part in parts.items():
        wrong = list(_contradictions(part, machine.gpu_model if name in here else ""))
        if name in too_few:
            wrong.append((("accelerators",), too_few[name]))
        if not wrong:
            pool = replace(_pool(name, part, machine, capabilities), devices=devices.get(name, ()))
            pool, wrong = _priced(part, pool, offers, since)
            pools.append(pool)
        problems += [tree.problem(("pools", name, *keys), message) for keys, message in wrong]
    if problems:
        raise InvalidInput(*problems)
    return tuple(pools)


def is_local(part: PoolPart) -> bool:
    """Whether the pool runs on this machine."""
    if part.executor == "ray" and not part.nodes:
        return part.options.get("address", "local") in ("", "local")
    return part.executor == "local_serverless"


def _contradictions(part: PoolPart, gpu_here: str) -> Found:
    """Where and what is wrong in one pool, whatever it costs; `gpu_here` is what its GPUs are known to be."""
    for field, hint in _OF_THE_OTHER_KIND[part.kind].items():
        if getattr(part, field) is not None:
            yield (field,), f"is not of a {part.kind} pool{hint}"
    choices = part.accelerators.choices if part.accelerators else ()
    if part.kind == "cluster" and len(choices) > 1:
        yield ("accelerators",), "a cluster's nodes are alike: make a pool for each model"
    if any(not gpu.model for gpu in choices):
        yield ("accelerators",), "must say which GPU it is: L4:2"
    yield from _wrong_limits(part)
    if part.emulated and not choices:
        yield ("emulated",), "is true, but there are no accelerators to emulate"
    if others := sorted({gpu.model for gpu in choices if gpu_here and gpu.model not in ("", gpu_here)}):
        yield ("accelerators",), f"this machine's GPUs are {gpu_here}, not {', '.join(others)}"
    if not is_local(part) and (part.cpus is None or part.memory is None):
        yield _missing(part)


def _missing(part: PoolPart) -> tuple[Keys, str]:
    """What a pool lacks that is not on this machine; or its executor, of which nobody knows where it runs."""
    known = installed(EXECUTORS)
    if part.executor in known:
        return ("cpus" if part.cpus is None else "memory",), "is required for a pool that is not on this machine"
    near = nearest(part.executor, known)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return ("executor",), f"no executor {part.executor!r} is installed{meant}; there are: {', '.join(sorted(known))}"


def _wrong_limits(part: PoolPart) -> Found:
    """Where limits of keeping warm contradict each other or the pool's size."""
    warm = part.keep_warm
    if warm is None:
        return
    if warm.least_window > warm.most_window:
        yield (
            ("keep_warm", "least_window"),
            f"is {warm.least_window:g} s, more than most_window, {warm.most_window:g} s",
        )
    if warm.least_containers > warm.most_containers:
        more = f"is {warm.least_containers}, more than most_containers, {warm.most_containers}"
        yield ("keep_warm", "least_containers"), more
    if part.max_containers is not None and warm.most_containers > part.max_containers:
        yield ("keep_warm", "most_containers"), f"is more than max_containers, {part.max_containers}"


def _limits(warm: WarmPart | None) -> WarmLimits:
    if warm is None:
        return WarmLimits()
    return WarmLimits(
        least_window_s=warm.least_window,
        most_window_s=warm.most_window,
        least_containers=warm.least_containers,
        most_containers=warm.most_containers,
        start_within_s=warm.start_within,
        start_share=warm.start_share,
        worth_s=warm.worth,
    )


def _pool(
    name: str,
    part: PoolPart,
    machine: Machine,
    capabilities: Capabilities,
) -> Pool:
    kind = PoolKind(part.kind)
    window = DEFAULT_SCALEDOWN_S if part.scaledown_window is None else part.scaledown_window
    return Pool(
        name=name,
        kind=kind,
        executor=part.executor,
        unit=_unit(part, machine),
        max_units=part.max_nodes or part.max_containers or 1,
        gpu_models=_models(part.accelerators),
        region=part.region,
        isolation=Isolation(part.isolation),
        emulated=part.emulated,
        capabilities=_capabilities(part.executor, capabilities),
        volumes=part.volumes or (ON_THIS_MACHINE if is_local(part) else ""),
        cold_start_s=part.cold_start,
        scaledown_window_s=window if kind is PoolKind.SERVERLESS else 0.0,
        warm=_limits(part.keep_warm),
        options=part.options,
        nodes=part.nodes or {},
    )


def _priced(
    part: PoolPart, pool: Pool, offers: Sequence[Offer], since: date | None
) -> tuple[Pool, list[tuple[Keys, str]]]:
    """The pool with the offers that its prices come to, and what is wrong with them."""
    wrong: list[tuple[Keys, str]] = []
    can = pool.capabilities or frozenset(Capability)  # of a plugin that can't be used nothing is known
    on_nodes = pool.kind is PoolKind.SERVERLESS and Capability.NODE_SHARES in can

    def found(field: str, price: PricePart, of: Pool) -> tuple[Offer, ...]:
        try:
            return offers_of(
                price,
                pool=of.name,
                kind=of.kind,
                unit=of.unit,
                gpu_models=of.gpu_models,
                offers=offers,
                since=since,
                on_nodes=on_nodes,
            )
        except WrongPrice as error:
            wrong.append(((field, *(key for key in error.field.split(".") if key)), str(error)))
            return ()

    if part.price:
        pool = replace(pool, offers=found("price", part.price, pool))
    if part.head_price:
        head = replace(pool, name=f"{pool.name}-head", kind=PoolKind.CLUSTER, unit=Resources(), gpu_models=())
        pool = replace(pool, head_offers=found("head_price", part.head_price, head))
        if Capability.HEAD not in can:
            message = f"the executor {pool.executor} meters no head beside its units: leave it out"
            wrong.append((("head_price",), message))
    return pool, wrong


def _capabilities(executor: str, known: Capabilities) -> frozenset[Capability]:
    """None for a plugin that can't be used: its pool is listed with the reason when it is started."""
    try:
        return known(executor)
    except Misconfigured:
        return frozenset()


def _unit(part: PoolPart, machine: Machine) -> Resources:
    """One node, or the most of one container."""
    choices = part.accelerators.choices if part.accelerators else ()
    return Resources(
        cpus=machine.cpus if part.cpus is None else part.cpus,
        memory_bytes=int(machine.memory_bytes * MEMORY_SHARE / GIB) * GIB if part.memory is None else part.memory,
        gpus=max((gpu.count for gpu in choices), default=0.0),
        gpu_model=choices[0].model if len(choices) == 1 else "",
        disk_bytes=part.disk or 0,
    )


def _models(wanted: Accelerators | None) -> tuple[str, ...]:
    return tuple(gpu.model for gpu in wanted.choices if gpu.model) if wanted else ()
