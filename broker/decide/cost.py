"""A place for a job and the price of its units → the lines of what the run would cost, sunk ones marked.

At dispatch, what is paid whatever is decided weighs nothing: a node that is up, or one bought for a term.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction

from broker.decide.charge import dominant_share
from broker.decide.room import Need, Spot
from broker.decide.tariff import Price, billed_ns
from broker.model.money import NS_PER_S, Money
from broker.model.offers import Tier
from broker.model.placement import CostLine
from broker.model.pools import Pool

HELD_BACK = "held_back_work"


def on_nodes(pool: Pool, price: Price, need: Need, spot: Spot, run_s: float) -> tuple[CostLine, ...]:
    """What a run costs on nodes: its share of those that are up, and all of those that are started for it."""
    run_ns, boot_ns = round(run_s * NS_PER_S), round(pool.cold_start_s * NS_PER_S)
    lines = []
    if spot.units:
        nodes = Money.of_rate(price.usd_per_hour * len(spot.units), run_ns)
        share = dominant_share(need.resources, spot.total)
        lines.append(CostLine(what="execution", amount=_part(nodes, share), sunk=True))
    if spot.fresh:
        sunk = any(offer.tier.is_commitment or offer.tier is Tier.OWNED for offer in price.offers)
        rate = price.usd_per_hour * spot.fresh
        added_ns = billed_ns(price.billing, boot_ns + run_ns) - boot_ns - run_ns
        for what, ns in (("boot", boot_ns), ("execution", run_ns), ("rounding", added_ns)):
            if ns:
                lines.append(CostLine(what=what, amount=Money.of_rate(rate, ns), sunk=sunk))
    return tuple(lines)


def in_containers(
    pool: Pool, price: Price, need: Need, spot: Spot, run_s: float, tail: Fraction, head: Price | None = None
) -> tuple[CostLine, ...]:
    """What a run costs in containers: their cold start, the run, and the idle tail as far as nothing else fills it.

    With `head`, also what a head costs that is made for it, from its cold start on.
    """
    run_ns = round(run_s * NS_PER_S)
    cold_ns = round(pool.cold_start_s * NS_PER_S) if spot.cold else 0
    tail_ns = round(round(pool.scaledown_window_s * NS_PER_S) * tail)
    life_ns = cold_ns + run_ns + tail_ns
    added_ns = billed_ns(price.billing, life_ns) - life_ns if spot.cold else 0
    rate = price.usd_per_hour * need.nodes
    parts = (("cold_start", cold_ns), ("execution", run_ns), ("idle_tail", tail_ns), ("rounding", added_ns))
    lines = [CostLine(what=what, amount=Money.of_rate(rate, ns)) for what, ns in parts if ns]
    if head is not None:
        amount = Money.of_rate(head.usd_per_hour, billed_ns(head.billing, life_ns))
        lines.append(CostLine(what="head", amount=amount))
    return tuple(lines)


def held_back(value_per_gpu_hour: Decimal | None, need: Need, run_s: float) -> Iterator[CostLine]:
    """The price of the work that a run keeps from GPUs; nothing where it is not known or none is held."""
    if value_per_gpu_hour and need.resources.gpus:
        rate = value_per_gpu_hour * Decimal(str(need.resources.gpus)) * need.nodes
        yield CostLine(what=HELD_BACK, amount=Money.of_rate(rate, round(run_s * NS_PER_S)))


def displaced(usd_per_unit_hour: Decimal, need: Need, spot: Spot, full_s: float) -> CostLine:
    """The price of the work that a run keeps from nodes for as long as all of them are expected to be wanted."""
    whole = Money.of_rate(usd_per_unit_hour * need.nodes, round(full_s * NS_PER_S))
    return CostLine(what=HELD_BACK, amount=_part(whole, dominant_share(need.resources, spot.total)))


def hourly(pool_is_cluster: bool, price: Price, need: Need, spot: Spot, head: Price | None = None) -> Money:
    """What the job's part of its units costs in an hour, with a head that is made for it."""
    whole = Money.of_usd(price.usd_per_hour * need.nodes + (head.usd_per_hour if head else 0))
    return _part(whole, dominant_share(need.resources, spot.total)) if pool_is_cluster else whole


def marginal(lines: Iterable[CostLine]) -> Money:
    """What the run adds: all that is not paid anyway."""
    return Money.total(line.amount for line in lines if not line.sunk)


def full(lines: Iterable[CostLine]) -> Money:
    """What the run's use of units costs, paid anyway or not. Work held back is a reason, not a cost."""
    return Money.total(line.amount for line in lines if line.what != HELD_BACK)


def _part(amount: Money, share: Fraction) -> Money:
    return Money(round(amount.nanodollars * share))
