"""A cluster offer, a serverless offer and the conditions of work → the busy share above which holding a GPU pays.

    u* = [C·(1 + ops) + (head + storage + egress)/N + interruption] / [η · S · region · (work + cold + tail)/work]

Two questions: at purchase the full rate counts (`purchase_breakeven`); at dispatch, what is paid already costs nothing
more until it is full (`dispatch_cost`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from broker.decide.price_book import unit_price
from broker.model.errors import PriceMissing
from broker.model.offers import Offer
from broker.model.resources import GIB, GPU_MEMORY_GIB, Resources

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
_SECONDS_PER_HOUR: Final = 3_600

# The same chip under two names: what AWS rents as A10G is sold by the second as A10.
TWINS: Final = {"A10G": "A10"}

OVERSIZED: Final = Decimal("1.5")  # a host is too large for its GPUs when one costs this many times the cheapest


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the two ways cost beside their list prices. As made, nothing: list price against list price."""

    ops_share: Decimal = ZERO  # staff and tools for the cluster, as a share of its price
    head_usd_hour: Decimal = ZERO  # the cluster's head node
    storage_usd_hour: Decimal = ZERO  # disks that stay while nothing runs
    egress_usd_hour: Decimal = ZERO
    gpus_sharing: Decimal = Decimal(8)  # among which head, storage and egress are divided
    packing: Decimal = ONE  # useful part of the GPU time that jobs hold: gangs and whole nodes leave gaps
    interruptions_per_hour: Decimal = ZERO  # of a spot node
    lost_s: Decimal = ZERO  # work redone after each: half of a checkpoint interval, and the restart
    job_s: Decimal = Decimal(600)  # length of a job
    cold_start_s: Decimal = ZERO  # billed before each job
    idle_tail_s: Decimal = ZERO  # billed after each job, until the container ends
    region_multiplier: Decimal = ONE  # what the serverless provider asks for a chosen region

    def __post_init__(self) -> None:
        if min(self.gpus_sharing, self.packing, self.job_s, self.region_multiplier) <= 0 or self.packing > 1:
            raise ValueError(
                f"gpus_sharing, packing, job_s, region_multiplier must be above 0, packing at most 1: {self}"
            )
        if self.lost_share >= 1:
            raise ValueError(f"interruptions lose all the work: {self}")

    @property
    def lost_share(self) -> Decimal:
        """The part of a spot node's time that goes into work that is lost."""
        return self.interruptions_per_hour * self.lost_s / _SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of a rate."""

    what: str
    usd_per_hour: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakeven:
    """What an hour of a held GPU and an hour of serverless work cost, and where they meet."""

    cluster: Offer
    serverless: Offer
    held: tuple[Component, ...]  # of one GPU held for an hour, busy or not
    bought: tuple[Component, ...]  # of one GPU-hour of work done in containers
    packing: Decimal

    @property
    def held_usd(self) -> Decimal:
        """Dollars per hour for which one GPU is held."""
        return sum((part.usd_per_hour for part in self.held), ZERO)

    @property
    def bought_usd(self) -> Decimal:
        """Dollars per GPU-hour of work bought."""
        return sum((part.usd_per_hour for part in self.bought), ZERO)

    @property
    def utilization(self) -> Decimal:
        """The busy share at which both ways cost the same; above 1 the cluster never pays."""
        return self.held_usd / (self.packing * self.bought_usd)

    @property
    def never(self) -> bool:
        """Whether holding costs more even when the GPU is always busy."""
        return self.utilization > 1

    def serverless_usd_at(self, utilization: Decimal) -> Decimal:
        """What the work of a GPU that is busy for this share of an hour costs when bought; held, it is `held_usd`."""
        return utilization * self.packing * self.bought_usd


def purchase_breakeven(
    cluster: Offer,
    serverless: Offer,
    day: date,
    conditions: Conditions | None = None,
    container: Resources | None = None,
) -> Breakeven:
    """The question before anything is bought: all of the cluster's rate counts.

    `container` is what the work needs beside one GPU (default: `reference_container`). Raises `PriceMissing` when an
    offer has no GPU, or the serverless one none of the cluster's model.
    """
    conditions = conditions or Conditions()
    rate = cluster.usd_per_gpu_hour
    if rate is None:
        raise PriceMissing(f"{cluster.id} has no GPU: there is no price for one")
    return Breakeven(
        cluster=cluster,
        serverless=serverless,
        held=_held(rate, conditions),
        bought=_bought(serverless, container or reference_container(cluster.gpu_model), day, conditions),
        packing=conditions.packing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchCost:
    """What running one job adds to the bill, either way."""

    cluster_usd: Decimal
    serverless_usd: Decimal


def dispatch_cost(compared: Breakeven, *, gpus: Decimal, free_gpus: Decimal, run_s: Decimal) -> DispatchCost:
    """The question when a job is there: GPUs that are held and free add nothing; only what is beyond them costs.

    Overheads of the cluster (head node, staff) are paid whatever is decided and do not count either.
    """
    beyond = max(gpus - free_gpus, ZERO)
    hours = run_s / _SECONDS_PER_HOUR
    rate = compared.cluster.usd_per_gpu_hour or ZERO
    return DispatchCost(cluster_usd=beyond * rate * hours, serverless_usd=gpus * compared.bought_usd * hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one change of the conditions does to a breakeven."""

    change: str
    utilization: Decimal
    relative: Decimal  # to the breakeven without it: 0.2 is a fifth more


# Illustrations of size, not prices: (what, conditions that change).
CHANGES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("staff and tools: 20% of the cluster's price", {"ops_share": Decimal("0.2")}),
    ("head node at $0.40/h for 8 GPUs", {"head_usd_hour": Decimal("0.40"), "gpus_sharing": Decimal(8)}),
    ("head node at $0.40/h for 1 GPU", {"head_usd_hour": Decimal("0.40"), "gpus_sharing": ONE}),
    ("storage at $0.22/h for 8 GPUs", {"storage_usd_hour": Decimal("0.22"), "gpus_sharing": Decimal(8)}),
    ("packing 0.8", {"packing": Decimal("0.8")}),
    ("a spot loss of 30 min every 10 h", {"interruptions_per_hour": Decimal("0.1"), "lost_s": Decimal(1800)}),
    ("serverless in a chosen region, 1.5×", {"region_multiplier": Decimal("1.5")}),
    ("10 s cold start for 1 min of work", {"cold_start_s": Decimal(10), "job_s": Decimal(60)}),
    (
        "10 s cold start, 60 s idle tail, 1 min of work",
        {"cold_start_s": Decimal(10), "idle_tail_s": Decimal(60), "job_s": Decimal(60)},
    ),
    (
        "10 s cold start, 60 s idle tail, 10 min of work",
        {"cold_start_s": Decimal(10), "idle_tail_s": Decimal(60), "job_s": Decimal(600)},
    ),
    (
        "staff, head node, storage, packing, 10 + 60 s for 10 min",
        {
            "ops_share": Decimal("0.2"),
            "head_usd_hour": Decimal("0.40"),
            "storage_usd_hour": Decimal("0.22"),
            "gpus_sharing": Decimal(8),
            "packing": Decimal("0.8"),
            "cold_start_s": Decimal(10),
            "idle_tail_s": Decimal(60),
            "job_s": Decimal(600),
        },
    ),
)


def sensitivity(cluster: Offer, serverless: Offer, day: date, conditions: Conditions) -> tuple[Effect, ...]:
    """What moves a breakeven, and by how much: each of `CHANGES` made to the conditions on its own."""
    base = purchase_breakeven(cluster, serverless, day, conditions).utilization
    effects = []
    for change, fields in CHANGES:
        moved = purchase_breakeven(cluster, serverless, day, replace(conditions, **fields)).utilization
        effects.append(Effect(change=change, utilization=moved, relative=moved / base - 1))
    return tuple(effects)


def by_job_length(
    cluster: Offer, serverless: Offer, day: date, conditions: Conditions, lengths_s: Iterable[Decimal]
) -> tuple[Breakeven, ...]:
    """The breakeven for jobs of each length: cold start and idle tail weigh most on short ones."""
    return tuple(
        purchase_breakeven(cluster, serverless, day, replace(conditions, job_s=length)) for length in lengths_s
    )


def reference_container(gpu_model: str) -> Resources:
    """What usual work needs beside one GPU: CPUs and memory that grow with the GPU's memory."""
    size = GPU_MEMORY_GIB.get(gpu_model, 80)
    cores, gib = (2, 16) if size <= 24 else (4, 32) if size < 80 else (8, 64)
    return Resources(cpus=2 * cores, memory_bytes=gib * GIB, gpus=1, gpu_model=TWINS.get(gpu_model, gpu_model))


def right_sized(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """Without nodes whose price is mostly for CPUs and memory, of the offers of whole providers.

    A node is judged by its list price per GPU, the dearest of its offers, against the cheapest list price of its
    provider for the same GPU (see `OVERSIZED`): what spot costs today says nothing about a node's size.
    """
    listed: dict[tuple[str, str, str], Decimal] = {}
    for offer in offers:
        listed[_host(offer)] = max(offer.usd_per_gpu_hour or ZERO, listed.get(_host(offer), ZERO))
    cheapest: dict[tuple[str, str], Decimal] = {}
    for (provider, model, _), usd in listed.items():
        cheapest[provider, model] = min(usd, cheapest.get((provider, model), usd))
    return tuple(
        offer for offer in offers if listed[_host(offer)] <= OVERSIZED * cheapest[offer.provider, offer.gpu_model]
    )


def _host(offer: Offer) -> tuple[str, str, str]:
    return offer.provider, offer.gpu_model, offer.sku


def _held(rate: Decimal, conditions: Conditions) -> tuple[Component, ...]:
    shared = (
        ("head node", conditions.head_usd_hour),
        ("storage", conditions.storage_usd_hour),
        ("egress", conditions.egress_usd_hour),
    )
    parts = [
        ("GPU", rate),
        ("staff and tools", rate * conditions.ops_share),
        *((what, usd / conditions.gpus_sharing) for what, usd in shared),
        ("interruptions", rate / (1 - conditions.lost_share) - rate),
    ]
    return tuple(Component(what=what, usd_per_hour=usd) for what, usd in parts if usd or what == "GPU")


def _bought(offer: Offer, container: Resources, day: date, conditions: Conditions) -> tuple[Component, ...]:
    whole = unit_price((offer,), container, day)
    bare = unit_price((offer,), Resources(gpus=container.gpus, gpu_model=container.gpu_model), day)
    if whole is None or bare is None or not container.gpus:
        raise PriceMissing(f"{offer.id} has no price for a container with {container.gpu_model} on {day}")
    per_gpu = whole.usd_per_hour / Decimal(str(container.gpus))
    gpu = bare.usd_per_hour / Decimal(str(container.gpus))
    billed = per_gpu * conditions.region_multiplier
    parts = (
        ("GPU", gpu),
        ("CPUs and memory", per_gpu - gpu),
        ("region", billed - per_gpu),
        ("cold start", billed * conditions.cold_start_s / conditions.job_s),
        ("idle tail", billed * conditions.idle_tail_s / conditions.job_s),
    )
    return tuple(Component(what=what, usd_per_hour=usd) for what, usd in parts if usd or what == "GPU")
