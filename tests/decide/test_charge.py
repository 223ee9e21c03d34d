from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.charge import dominant_share, last_holder, settle
from broker.decide.tariff import DAY_NS, billed_ns
from broker.model.errors import ExecutorError
from broker.model.money import NS_PER_S, Money
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.model.usage import AttemptUsage, Charge, ChargeKind, UnitUsage, UsageReport

NODE = Resources(cpus=8, memory_bytes=64 * GIB, gpus=4, gpu_model="H100")
PER_SECOND = BillingRule()
HORIZON = 5 * DAY_NS // 2


@dataclass(frozen=True)
class Price:
    usd_per_hour: Decimal
    billing: BillingRule
    offers: tuple[Offer, ...] = ()


def offer(usd: str, billing: BillingRule = PER_SECOND) -> Offer:
    return Offer(
        id=f"acme/{usd}",
        provider="acme",
        product="node",
        sku="n4",
        region="",
        tier=Tier.ON_DEMAND,
        gpu_model="H100",
        gpu_count=4,
        cpus=8,
        memory_gib=64,
        usd_per_hour=Decimal(usd),
        billing=billing,
        valid_from=date(2026, 1, 1),
        source="list price",
    )


def priced(usd: str, billing: BillingRule = PER_SECOND) -> Price:
    return Price(Decimal(usd), billing, (offer(usd, billing),))


def pool(kind: PoolKind = PoolKind.CLUSTER) -> Pool:
    return Pool(name="p", kind=kind, executor="fake", unit=NODE, max_units=4)


def unit(started: int, ready: int | None, ended: int | None, caused_by: str | None = None) -> UnitUsage:
    return UnitUsage(
        unit_id="n1", resources=NODE, started_ns=started, ready_ns=ready, ended_ns=ended, caused_by=caused_by
    )


def held(attempt_id: str, started: int, ended: int | None, gpus: float = 4) -> AttemptUsage:
    return AttemptUsage(
        attempt_id=attempt_id, unit_id="n1", resources=Resources(gpus=gpus), started_ns=started, ended_ns=ended
    )


def at_3_60(*_: object) -> Price:
    return priced("3.6")


def by_claim(charges: list[Charge]) -> Counter[tuple[ChargeKind, str | None]]:
    sums: Counter[tuple[ChargeKind, str | None]] = Counter()
    for charge in charges:
        assert charge.amount is not None
        sums[charge.kind, charge.attempt_id] += charge.amount.nanodollars
    return +sums


@dataclass(frozen=True)
class World:
    """What happened in a pool, and its prices; `report` is what an executor says of it at a time."""

    pool: Pool
    units: tuple[UnitUsage, ...]
    attempts: tuple[AttemptUsage, ...]
    prices: tuple[Price, ...]  # by day, the last for all days after

    def price_of(self, _unit: UnitUsage, at_ns: int) -> Price:
        return self.prices[min(at_ns // DAY_NS, len(self.prices) - 1)]

    def report(self, since: int, as_of: int) -> UsageReport:
        def seen(ended: int | None) -> int | None:
            return ended if ended is not None and ended < as_of else None

        units = [u for u in self.units if u.started_ns < as_of and (u.ended_ns is None or u.ended_ns >= since)]
        attempts = [a for a in self.attempts if a.started_ns < as_of and (a.ended_ns is None or a.ended_ns >= since)]
        return UsageReport(
            as_of_ns=as_of,
            units=tuple(
                replace(u, ended_ns=seen(u.ended_ns), ready_ns=u.ready_ns if (u.ready_ns or 0) < as_of else None)
                for u in units
            ),
            attempts=tuple(replace(a, ended_ns=seen(a.ended_ns)) for a in attempts),
        )

    def settled(self, times: list[int]) -> list[list[Charge]]:
        """The charges of one settlement after another, each knowing what a store would know."""
        open_units: tuple[UnitUsage, ...] = ()
        rounds = []
        for watermark, as_of in pairwise([0, *times]):
            report = self.report(watermark, as_of)
            rounds.append(list(settle(self.pool, watermark, open_units, report, self.price_of)))
            before = {u.unit_id: u.last_attempt for u in open_units}
            open_units = tuple(
                replace(u, last_attempt=self._last(report, u.unit_id) or before.get(u.unit_id))
                for u in report.units
                if u.ended_ns is None
            )
        return rounds

    def _last(self, report: UsageReport, unit_id: str) -> str | None:
        return last_holder([a for a in report.attempts if a.unit_id == unit_id], report.as_of_ns)


TIMES = st.integers(0, HORIZON)
PRICES = st.builds(
    priced,
    st.decimals("0.001", "99", places=6).map(str),
    st.builds(BillingRule, granularity_s=st.sampled_from([1, 60, 3600]), minimum_s=st.sampled_from([0, 60, 600])),
)


@st.composite
def worlds(draw: st.DrawFn, prices: int = 3) -> World:
    units, attempts = [], []
    for number in range(draw(st.integers(1, 3))):
        started, ready, ended = sorted(draw(st.tuples(TIMES, TIMES, TIMES)))
        unit_id = f"n{number}"
        up = draw(st.booleans())
        caused_by = draw(st.sampled_from([None, "a0"]))
        units.append(
            UnitUsage(
                unit_id=unit_id,
                resources=NODE,
                started_ns=started,
                ready_ns=ready,
                ended_ns=None if up else ended,
                caused_by=caused_by,
                head=(head := draw(st.booleans())),
            )
        )
        for attempt in range(0 if head else draw(st.integers(0, 4))):
            first, last = sorted(draw(st.tuples(st.integers(started, ended), st.integers(started, ended))))
            part = Resources(gpus=draw(st.sampled_from([0.0, 1 / 3, 1.0, 4.0])), cpus=draw(st.floats(0, 8)))
            attempts.append(
                AttemptUsage(
                    attempt_id=f"a{number}{attempt}",
                    unit_id=unit_id,
                    resources=part,
                    started_ns=first,
                    ended_ns=None if up and draw(st.booleans()) else last,
                )
            )
    kind = draw(st.sampled_from(PoolKind))
    return World(
        pool=pool(kind),
        units=tuple(units),
        attempts=tuple(attempts),
        prices=tuple(draw(st.lists(PRICES, min_size=1, max_size=prices))),
    )


CUTS = st.lists(st.integers(1, HORIZON), max_size=6, unique=True).map(lambda cuts: [*sorted(cuts), HORIZON + 1])


def exact_cost(world: World, life: UnitUsage, until: int) -> Fraction:
    """Nanodollars, by another way than the code's: every day's part of the life times its rate."""
    end = until if life.ended_ns is None else min(life.ended_ns, until)
    cost = Fraction(0)
    for day in range(life.started_ns // DAY_NS, end // DAY_NS + 1):
        inside = min(end, (day + 1) * DAY_NS) - max(life.started_ns, day * DAY_NS)
        cost += Fraction(world.price_of(life, day * DAY_NS).usd_per_hour) * inside / 3600
    return cost


@given(worlds(), CUTS)
def test_the_charges_of_a_unit_add_up_to_what_it_is_billed(world: World, cuts: list[int]) -> None:
    charges = [charge for settlement in world.settled(cuts) for charge in settlement]
    for life in world.units:
        expected = exact_cost(world, life, cuts[-1])
        if life.ended_ns is not None:
            rule_price = world.price_of(life, max(life.ended_ns - 1, life.started_ns))
            length = life.ended_ns - life.started_ns
            extra = billed_ns(rule_price.billing, length) - length
            expected += Fraction(rule_price.usd_per_hour) * extra / 3600
        total = sum(c.amount.nanodollars for c in charges if c.unit_id == life.unit_id and c.amount)
        assert total == round(expected)


@given(worlds(), CUTS)
def test_it_does_not_matter_when_a_pool_is_settled(world: World, cuts: list[int]) -> None:
    often = [charge for settlement in world.settled(cuts) for charge in settlement]
    once = [charge for settlement in world.settled(cuts[-1:]) for charge in settlement]
    assert by_claim(often) == by_claim(once)


@given(worlds(), CUTS)
def test_between_settlements_charges_are_what_the_units_cost(world: World, cuts: list[int]) -> None:
    for (since, until), charges in zip(pairwise([0, *cuts]), world.settled(cuts), strict=True):
        cost = sum(
            round(exact_cost(world, u, until)) - (round(exact_cost(world, u, since)) if u.started_ns < since else 0)
            for u in world.units
            if u.started_ns < until
        )
        used = [c.amount.nanodollars for c in charges if c.kind is not ChargeKind.ROUNDING and c.amount]
        assert sum(used) == cost


@given(worlds(), CUTS)
def test_no_charge_is_negative_or_lies_outside_its_settlement(world: World, cuts: list[int]) -> None:
    for (since, until), charges in zip(pairwise([0, *cuts]), world.settled(cuts), strict=True):
        for charge in charges:
            assert charge.amount is not None and charge.amount >= Money(0)
            assert since <= charge.started_ns <= charge.ended_ns <= until
            assert charge.started_ns // DAY_NS == max(charge.ended_ns - 1, charge.started_ns) // DAY_NS


@given(worlds(), CUTS)
def test_keys_are_unique_and_the_same_when_a_settlement_is_repeated(world: World, cuts: list[int]) -> None:
    keys = [charge.key for settlement in world.settled(cuts) for charge in settlement]
    assert len(keys) == len(set(keys))
    assert keys == [charge.key for settlement in world.settled(cuts) for charge in settlement]


@given(worlds(), CUTS)
def test_in_a_container_no_time_is_anybodys_but_the_jobs_that_caused_it(world: World, cuts: list[int]) -> None:
    serverless = replace(world, pool=pool(PoolKind.SERVERLESS))
    caused = {u.unit_id: u.caused_by for u in world.units}
    ran = {u.unit_id: {a.attempt_id for a in world.attempts if a.unit_id == u.unit_id} for u in world.units}
    for charge in (charge for settlement in serverless.settled(cuts) for charge in settlement):
        assert charge.kind not in (ChargeKind.BOOT, ChargeKind.IDLE)
        assert charge.attempt_id in {*ran[charge.unit_id], caused[charge.unit_id]}


def test_a_node_is_shared_by_dominant_share_and_the_rest_is_idle() -> None:
    report = UsageReport(
        as_of_ns=100 * NS_PER_S,
        units=(unit(0, 10 * NS_PER_S, None),),
        attempts=(held("a", 10 * NS_PER_S, 60 * NS_PER_S, gpus=1), held("b", 10 * NS_PER_S, None, gpus=2)),
    )
    charges = settle(pool(), 0, (), report, lambda *_: priced("3.6"))
    assert by_claim(list(charges)) == {
        (ChargeKind.BOOT, None): 10_000_000,
        (ChargeKind.JOB, "a"): 50 * 250_000,
        (ChargeKind.JOB, "b"): 90 * 500_000,
        (ChargeKind.IDLE, None): 50 * 250_000 + 40 * 500_000,
    }
    assert len(charges) == 4


def test_more_than_the_whole_is_normalised() -> None:
    report = UsageReport(
        as_of_ns=10 * NS_PER_S,
        units=(unit(0, 0, None),),
        attempts=(held("a", 0, None, gpus=4), held("b", 0, None, gpus=4)),
    )
    charges = settle(pool(), 0, (), report, lambda *_: priced("3.6"))
    assert by_claim(list(charges)) == {(ChargeKind.JOB, "a"): 5_000_000, (ChargeKind.JOB, "b"): 5_000_000}


def test_a_container_is_paid_for_the_one_job_it_runs_and_its_tail_too() -> None:
    report = UsageReport(
        as_of_ns=100 * NS_PER_S,
        units=(unit(0, 2 * NS_PER_S, 20 * NS_PER_S, caused_by="a"),),
        attempts=(held("a", 2 * NS_PER_S, 12 * NS_PER_S, gpus=1),),
    )
    charges = settle(pool(PoolKind.SERVERLESS), 0, (), report, lambda *_: priced("3.6", BillingRule(minimum_s=60)))
    assert by_claim(list(charges)) == {
        (ChargeKind.COLD_START, "a"): 2_000_000,
        (ChargeKind.JOB, "a"): 10_000_000,
        (ChargeKind.IDLE_TAIL, "a"): 8_000_000,
        (ChargeKind.ROUNDING, "a"): 40_000_000,
    }


@pytest.mark.parametrize("kind", PoolKind)
def test_a_head_is_paid_for_what_it_was_made_for(kind: PoolKind) -> None:
    head = replace(unit(0, 10 * NS_PER_S, None, "a"), head=True)
    charges = settle(pool(kind), 0, (), UsageReport(as_of_ns=100 * NS_PER_S, units=(head,), attempts=()), at_3_60)
    assert by_claim(list(charges)) == {(ChargeKind.HEAD, "a"): 100_000_000}


def test_a_tail_settled_later_is_still_the_last_attempts() -> None:
    before = replace(unit(0, 0, None, caused_by="first"), last_attempt="last")
    report = UsageReport(as_of_ns=20 * NS_PER_S, units=(unit(0, 0, None, caused_by="first"),), attempts=())
    (charge,) = settle(pool(PoolKind.SERVERLESS), 10 * NS_PER_S, (before,), report, lambda *_: priced("3.6"))
    assert (charge.kind, charge.attempt_id) == (ChargeKind.IDLE_TAIL, "last")


def test_a_unit_that_is_not_reported_any_more_ended_at_the_watermark() -> None:
    before = unit(0, 0, None)
    report = UsageReport(as_of_ns=50 * NS_PER_S, units=(), attempts=())
    rule = BillingRule(granularity_s=60)
    (charge,) = settle(pool(), 10 * NS_PER_S, (before,), report, lambda *_: priced("3.6", rule))
    assert (charge.kind, charge.started_ns, charge.amount) == (ChargeKind.ROUNDING, 10 * NS_PER_S, Money(50_000_000))


def test_an_unknown_price_is_unknown_and_only_for_its_days() -> None:
    report = UsageReport(as_of_ns=DAY_NS + 10 * NS_PER_S, units=(unit(DAY_NS - NS_PER_S, 0, None),), attempts=())
    charges = settle(pool(), 0, (), report, lambda _, at: priced("3.6") if at >= DAY_NS else None)
    assert [(charge.amount, charge.offer) for charge in charges] == [
        (None, None),
        (Money(10_000_000), offer("3.6")),
    ]


def test_the_price_of_parts_is_frozen_as_the_price_of_the_whole() -> None:
    parts = (offer("3"), replace(offer("0.6"), id="acme/cpu", source="cpu price"))
    report = UsageReport(as_of_ns=NS_PER_S, units=(unit(0, 0, None),), attempts=())
    (charge,) = settle(pool(), 0, (), report, lambda *_: Price(Decimal("3.6"), BillingRule(), parts))
    assert charge.offer is not None
    assert (charge.offer.id, charge.offer.usd_per_hour) == ("acme/3+acme/cpu", Decimal("3.6"))
    assert charge.offer.source == "list price; cpu price"


def test_an_attempt_on_a_unit_that_is_not_reported_is_an_error() -> None:
    report = UsageReport(as_of_ns=NS_PER_S, units=(), attempts=(held("a", 0, None),))
    with pytest.raises(ExecutorError, match="attempt a is reported on n1"):
        settle(pool(), 0, (), report, lambda *_: priced("1"))


@pytest.mark.parametrize(
    ("granularity", "minimum", "life", "billed"),
    [(1, 0, 1, NS_PER_S), (60, 0, 60 * NS_PER_S, 60 * NS_PER_S), (60, 90, 1, 120 * NS_PER_S), (1, 0, 0, 0)],
)
def test_billed_time(granularity: int, minimum: int, life: int, billed: int) -> None:
    assert billed_ns(BillingRule(granularity_s=granularity, minimum_s=minimum), life) == billed


def test_three_thirds_are_a_whole() -> None:
    assert dominant_share(Resources(gpus=1 / 3), Resources(gpus=1)) == Fraction(1, 3)
    assert dominant_share(Resources(gpus=1, cpus=7), NODE) == Fraction(7, 8)
