"""A job and a pool's state → what the job would cost there, when it would start and end, or why it can't run there."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from broker.decide import budgets, cost, limits
from broker.decide.constraints import resolve
from broker.decide.duration import is_prior
from broker.decide.pool_state import PoolState
from broker.decide.price_book import price_in, stale, unit_price
from broker.decide.quotas import NO_QUOTAS, Quotas
from broker.decide.recall import Bill, Recall
from broker.decide.room import Need, Room, Spot
from broker.decide.rules import PlacementRules
from broker.decide.tariff import Price
from broker.decide.wording import cpus, gibibytes, number, seconds
from broker.model.budgets import Standing
from broker.model.environment import environment_key
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.placement import CostLine, Duration, Quote, Refusal
from broker.model.pools import Capability, PoolKind
from broker.model.projects import DEFAULT_PROJECT
from broker.model.resources import Resources
from broker.model.times import day_of

_CAPABILITIES: Final = frozenset(str(capability) for capability in Capability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A job as pools are asked about it."""

    spec: JobSpec
    duration: Duration
    kind: Hashable  # equal for jobs that any decision treats alike (see `kind_of`)
    key: str  # of its environment
    behind: int = 0  # further jobs of the same kind in the queue: they would use a container that it leaves
    spent: Money = ZERO  # on earlier attempts
    done_s: float = 0.0  # of its work, by earlier attempts; `duration` is what is left
    avoided: tuple[tuple[str, int], ...] = ()  # pools not to be tried before a time
    budgets: tuple[Standing, ...] = ()  # that concern it
    project: str = DEFAULT_PROJECT
    user: str = ""
    quotas: Quotas = NO_QUOTAS


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A quote, and what is needed to explain it and to take it."""

    quote: Quote
    need: Need
    spot: Spot
    cluster: bool  # of the pool: what runs on nodes, not in containers
    idle: tuple[float, float]  # of the pool's GPUs of the model, or of its CPUs: free now, and all
    cold_s: float = 0.0  # boot or cold start that would be paid
    tail_s: float = 0.0  # idle tail that would be paid
    full_share: float = 0.0  # of the run, in which all nodes of the pool are expected to be wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one pool answers: options, and why other ways (or all) are refused."""

    options: tuple[Option, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def kind_of(spec: JobSpec, duration: Duration) -> Hashable:
    """What a decision looks at in a specification and its expected duration: equal kinds are decided alike."""
    asked = spec.resources
    return (
        duration,
        environment_key(spec),
        (asked.gpu_choices, asked.gpu_ordered, asked.cpus, asked.memory_bytes, asked.disk_bytes, asked.num_nodes),
        (asked.spot_policy, asked.max_hourly_cost, bool(asked.extra), spec.runtime, spec.function is None, spec.image),
        (spec.deadline_ns, spec.max_wait_s, spec.max_cost_usd, spec.est_runtime_s is None),
        (spec.pools_allowed, spec.pools_denied, spec.regions, spec.isolation),
    )


def quote(
    spec: JobSpec, state: PoolState, duration: Duration, now_ns: int, rules: PlacementRules | None = None
) -> Answer:
    """What one pool would ask of one job now."""
    ask = Ask(spec=spec, duration=duration, kind=kind_of(spec, duration), key=environment_key(spec))
    return Quoter(state, now_ns, rules or PlacementRules()).answer(ask)


class Quoter:
    """One pool in one round of placements: answers with what earlier jobs of the round have left of it."""

    def __init__(self, state: PoolState, now_ns: int, rules: PlacementRules, recall: Recall | None = None) -> None:
        self.pool = state.pool
        self._state = state
        self._now_ns = now_ns
        self._day = day_of(now_ns)
        self._rules = rules
        self._room = Room(state, now_ns)
        self._cluster = state.pool.kind is PoolKind.CLUSTER
        self._brings_head = not self._cluster and Capability.HEAD in state.pool.capabilities
        self._head = unit_price(state.pool.head_offers, Resources(), self._day) if self._brings_head else None
        known = (recall or Recall()).of(state.pool, self._day, rules)
        self._prices, self._ways = known.prices, known.ways
        # What is expected of a cluster's nodes is counted from now on: such bills hold for one round.
        self._bills = {} if state.expected else known.bills

    def answer(self, ask: Ask) -> Answer:
        """Options and refusals for a job."""
        if ask.kind not in self._ways:
            self._ways[ask.kind] = resolve(ask.spec, self.pool)
        ways, refusals = self._ways[ask.kind]
        late = limits.too_late(ask.spec, self.pool.name, ask.duration, self._now_ns)
        if not ways:
            return Answer(refusals=refusals if late else self._lasting(refusals))
        if late:
            return Answer(refusals=(late,))
        if unable := self._unable(ask):
            return Answer(refusals=(unable,))
        options: list[Option] = []
        limited: list[Refusal] = []
        for resources in ways:
            found = self._options(ask, resources)
            limited += [one for one in found if isinstance(one, Refusal)]
            options += [one for one in found if isinstance(one, Option)]
        return Answer(options=tuple(options), refusals=refusals + tuple(limited))

    def take(self, option: Option) -> None:
        """Reserves what an option would hold."""
        self._room.take(option.need, option.spot)

    def _lasting(self, refusals: tuple[Refusal, ...]) -> tuple[Refusal, ...]:
        """What a pool can do is not known while its executor can't be loaded: then that is no reason to give up."""
        if not self._state.problem or self.pool.capabilities:
            return refusals
        known = tuple(refusal for refusal in refusals if refusal.need not in _CAPABILITIES)
        return known or (self._not_now("pool", self._state.problem),)

    def _unable(self, ask: Ask) -> Refusal | None:
        if self._state.problem or self._state.capacity is None:
            return self._not_now("pool", self._state.problem or "the pool does not say what it has")
        if resting := self._state.health.resting(self._now_ns):
            return self._not_now("pool", resting)
        for pool, until_ns in ask.avoided:
            if pool == self.pool.name and until_ns > self._now_ns:
                left = seconds((until_ns - self._now_ns) / NS_PER_S)
                return self._not_now("capacity", f"it took an attempt of this job back; not tried again for {left}")
        return None

    def _not_now(self, constraint: str, message: str) -> Refusal:
        return Refusal(pool=self.pool.name, constraint=constraint, message=message, permanent=False)

    def _options(self, ask: Ask, resources: Resources) -> Sequence[Option | Refusal]:
        need = Need(
            resources=resources,
            nodes=ask.spec.resources.num_nodes,
            duration_s=ask.duration.p50_s,
            key="" if self._cluster else ask.key,
        )
        within = ask.quotas.refused(ask.project, ask.user, self.pool.name, resources, need.nodes)
        if within is not None:
            return [within]
        spots = self._room.spots(need)
        if not spots:
            return [self._no_room(need)]
        offered = [self._option(ask, need, spot) for spot in spots]
        options = [one for one in offered if isinstance(one, Option)]
        if not options:
            return [one for one in offered if isinstance(one, Refusal)]
        return [*_cheapest_now(options), *(one for one in options if not one.quote.available_now)]

    def _no_room(self, need: Need) -> Refusal:
        parts = [cpus(need.resources.cpus), gibibytes(need.resources.memory_bytes)]
        if need.resources.gpus:
            parts.append(f"{number(need.resources.gpus)} {need.resources.gpu_model}")
        nodes = f"{need.nodes} nodes" if need.nodes > 1 else "a node" if self._cluster else "a container"
        return self._not_now("capacity", f"no room for {nodes} with {', '.join(parts)}, and none can be started")

    def _option(self, ask: Ask, need: Need, spot: Spot) -> Option | Refusal:
        tail = self._tail(ask)
        bill = self._bill(ask, need, spot, tail)
        made = Quote(
            pool=self.pool.name,
            resources=need.resources,
            start_in_s=spot.start_in_s,
            duration=ask.duration,
            lines=bill.lines,
            marginal=bill.marginal,
            full=bill.full,
            p90_full=bill.p90_full,
            offer_ids=bill.offer_ids,
            available_now=spot.now,
            emulated=self.pool.emulated and need.resources.gpus > 0,
            warnings=bill.warnings,
        )
        broken = limits.refused(ask.spec, made, bill.hourly, ask.spent, self._now_ns)
        if broken := broken or budgets.refused(ask.budgets, self.pool.name, made.p90_full):
            return broken
        start_s = limits.STARTING_S if self._cluster else 0.0
        return Option(
            quote=replace(made, affordable_s=limits.affordable_s(ask.spec, made, bill.hourly, ask.spent, start_s)),
            need=need,
            spot=spot,
            cluster=self._cluster,
            idle=self._room.idle_now(need.resources.gpu_model),
            cold_s=self.pool.cold_start_s if spot.cold else 0.0,
            tail_s=0.0 if self._cluster else self.pool.scaledown_window_s * float(tail),
            full_share=self._full_s(spot, ask.duration.p50_s) / max(ask.duration.p50_s, 1e-9),
        )

    def _tail(self, ask: Ask) -> Fraction:
        """The chance that nothing else uses the container after this job: what waits is shared among all warm ones."""
        if self._cluster:
            return Fraction(0)
        containers = self._room.warm_units(ask.key) + 1
        return max(Fraction(containers - ask.behind, containers), Fraction(0))

    def _bill(self, ask: Ask, need: Need, spot: Spot, tail: Fraction) -> Bill:
        unknown = is_prior(ask.spec, ask.duration)
        later = spot.start_in_s if self._state.expected else 0.0
        key = (need, ask.duration.p90_s, spot.cold, spot.fresh, len(spot.units), spot.total, tail, unknown, later)
        if key not in self._bills:
            self._bills[key] = self._new_bill(ask, need, spot, tail)
        return self._bills[key]

    def _new_bill(self, ask: Ask, need: Need, spot: Spot, tail: Fraction) -> Bill:
        price = self._price(self.pool.unit if self._cluster else spot.total)
        warnings = tuple(self._warnings(ask, need, price))
        if price is None:
            return Bill(lines=(), marginal=None, full=None, p90_full=None, hourly=None, offer_ids=(), warnings=warnings)
        lines = self._lines(price, need, spot, ask.duration.p50_s, tail)
        return Bill(
            lines=lines,
            marginal=cost.marginal(lines),
            full=cost.full(lines),
            p90_full=cost.full(self._lines(price, need, spot, ask.duration.p90_s, tail)),
            hourly=cost.hourly(self._cluster, price, need, spot, self._head),
            offer_ids=tuple(offer.id for offer in price.offers),
            warnings=warnings,
        )

    def _price(self, resources: Resources) -> Price | None:
        if resources not in self._prices:
            self._prices[resources] = price_in(self.pool, resources, self._day)
        return self._prices[resources]

    def _lines(self, price: Price, need: Need, spot: Spot, run_s: float, tail: Fraction) -> tuple[CostLine, ...]:
        if not self._cluster:
            return cost.in_containers(self.pool, price, need, spot, run_s, tail, self._head)
        value = self._rules.value_per_gpu_hour
        lines = (*cost.on_nodes(self.pool, price, need, spot, run_s), *cost.held_back(value, need, run_s))
        full_s = self._full_s(spot, run_s)
        if not full_s or self._state.expected is None:
            return lines
        return (*lines, cost.displaced(self._state.expected.usd_per_unit_hour, need, spot, full_s))

    def _full_s(self, spot: Spot, run_s: float) -> float:
        """The seconds of a run in which all nodes of the cluster are expected to be wanted."""
        if self._state.expected is None:
            return 0.0
        return self._state.expected.full_s(self._now_ns + round(spot.start_in_s * NS_PER_S), run_s)

    def _warnings(self, ask: Ask, need: Need, price: Price | None) -> Iterator[str]:
        if price is None:
            yield f"the price of {self.pool.name} is unknown: this run's cost can't be told"
        else:
            for offer in price.offers:
                if stale(offer, self._day, self._rules.stale_price_days):
                    yield f"the price {offer.id} is {offer.age_days(self._day)} days old"
        if self._brings_head and self._head is None:
            yield f"what the head of a cluster in {self.pool.name} costs is unknown: it is not counted"
        if self.pool.emulated and need.resources.gpus:
            yield f"the {need.resources.gpu_model} of {self.pool.name} is emulated: no GPU is there"
        if is_prior(ask.spec, ask.duration):
            yield "no history of this job and no est_runtime: its duration is a guess"


def _cheapest_now(options: Sequence[Option]) -> list[Option]:
    """Of a warm container and a cold one, the one that adds less."""
    now = [option for option in options if option.quote.available_now]
    return [min(now, key=lambda option: option.quote.marginal or ZERO)] if now else []
