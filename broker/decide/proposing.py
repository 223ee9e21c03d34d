"""What ran and the price book → a commitment that would pay for a cluster's nodes, to be bought by a person or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from broker.decide import fluid
from broker.decide.capacity import targets
from broker.decide.demand import Demand, demand
from broker.decide.market import Market
from broker.decide.outlook import STEP_S, counted
from broker.decide.steering import NO_ALTERNATIVE, market, workload
from broker.decide.wording import number
from broker.decide.workload import Workload
from broker.model.foresight import LOOK_BACK_S, Proposal
from broker.model.money import NS_PER_S, Money
from broker.model.offers import Offer, in_force
from broker.model.pools import Pool
from broker.model.runs import Run

LEAST_SEEN_S = 14 * 86_400.0
DAYS = 30


def commitments(pool: Pool, book: Sequence[Offer], day: date) -> list[Offer]:
    """Offers to commit to nodes like a pool's, cheapest first: of its own provider, or of any where that has none."""
    there = [offer for offer in in_force(book, day) if offer.tier.is_commitment and _alike(offer, pool)]
    providers = {offer.provider for offer in pool.offers}
    own = [offer for offer in there if offer.provider in providers]
    return sorted(own or there, key=lambda offer: (offer.usd_per_hour, offer.id))


def _alike(offer: Offer, pool: Pool) -> bool:
    """Whether an offer's node is like a pool's: as many GPUs of its model, or without any, as many CPUs."""
    unit = pool.unit
    if unit.gpus:
        return offer.gpu_model == unit.gpu_model and math.isclose(offer.gpu_count, unit.gpus)
    return not offer.gpu_count and offer.cpus is not None and math.isclose(offer.cpus, unit.cpus)


def propose(
    pool: Pool, others: Sequence[Pool], runs: Sequence[Run], book: Sequence[Offer], now_ns: int, day: date
) -> Proposal | None:
    """The commitment that the work of the last weeks speaks for; None where none pays, or too little has been seen.

    Commitments last longer than what is looked back at. It is a proposal for a person who knows what will come.
    """
    terms, offers = market(pool, others, day), commitments(pool, book, day)
    seen = counted(runs, pool)
    began_ns = min((run.started_ns for run in seen), default=now_ns)
    history_s = min((now_ns - began_ns) / NS_PER_S, LOOK_BACK_S)
    if terms is None or not offers or history_s < LEAST_SEEN_S:
        return None
    offer = offers[0]
    steps = int(history_s // STEP_S)
    coarse = replace(terms, step_s=STEP_S, boot=round(pool.cold_start_s / STEP_S))
    jobs = workload(seen, pool.unit, now_ns, steps * STEP_S)
    nodes = _nodes(jobs, replace(coarse, commit=float(offer.usd_per_hour), commit_window=steps), steps)
    nodes = min(nodes, pool.max_units)
    if not nodes:
        return None
    saved = _saved(demand(jobs, STEP_S, steps * STEP_S), coarse, float(offer.usd_per_hour), nodes)
    if saved <= 0:
        return None
    amount = Money.of_usd(str(round(saved * DAYS * 24 / steps, 6)))
    return Proposal(
        at_ns=now_ns,
        pool=pool.name,
        offer_id=offer.id,
        nodes=nodes,
        usd_per_hour=f"{offer.usd_per_hour:f}",
        saved=amount,
        days=DAYS,
        reason=_reason(offer, terms, nodes, amount, history_s),
    )


def _nodes(jobs: Workload, terms: Market, steps: int) -> int:
    """What the policy would commit to now: a window of as many steps as were seen begins at this moment."""
    return int(targets(jobs, terms, until_s=steps * STEP_S).committed_gpus[-1])


def _saved(busy: Demand, terms: Market, usd_per_hour: float, nodes: int) -> float:
    """Dollars over the time that was seen: with the best size each step, less with that many committed beneath it."""
    above = Demand(step_s=busy.step_s, gpus=np.maximum(busy.gpus - nodes, 0.0))
    without, with_them = (fluid.cost(each, terms, targets(each, terms)).total for each in (busy, above))
    return without - with_them - nodes * usd_per_hour * len(busy) * busy.step_s / 3_600


def _reason(offer: Offer, terms: Market, nodes: int, saved: Money, history_s: float) -> str:
    term = "a year" if offer.tier.value == "commit_1y" else "three years"
    otherwise = f"${terms.cluster:.4g} on demand"
    if terms.serverless < NO_ALTERNATIVE * terms.cluster:
        otherwise += f" or ${terms.serverless:.4g} on serverless"
    count = "1 node" if nodes == 1 else f"{number(nodes)} nodes"
    return (
        f"{count} for {term} at ${offer.usd_per_hour:.4g} an hour ({offer.id}), busy or not, instead of {otherwise}: "
        f"as the last {number(round(history_s / 86_400))} days were, {saved} less in {DAYS} days. It pays only if "
        "such work goes on for the whole term; the broker buys nothing"
    )
