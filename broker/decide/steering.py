"""History, prices and what is up → how many nodes a cluster pool should have, with the reason.

Sizes are counted in nodes of the pool: an attempt is the largest share that it takes of any of a node's resources. All
work that a node could hold counts, wherever it ran: what went to serverless for want of a node is why there might be
more of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from broker.decide.capacity import targets
from broker.decide.constraints import resolve
from broker.decide.market import Market
from broker.decide.price_book import price_in
from broker.decide.workload import Workload
from broker.model.jobs import Job
from broker.model.money import NS_PER_S
from broker.model.pools import Pool, PoolKind
from broker.model.resources import Resources
from broker.model.runs import Run

STEP_S = 60.0
HISTORY_S = 14 * 86_400.0
NO_ALTERNATIVE = 1_000.0  # times the node's price, where no serverless pool could take its work
QUEUE = ""  # where what waits is, instead of a pool
LEARNT_S = 86_400.0  # of work, before which little is known of what pays
PATIENCE = 2  # decisions in a row that want fewer nodes, before one is ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How many nodes a pool should have now, and why."""

    pool: str
    nodes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from a wish: the nodes to have now. `fewer` counts wishes in a row for fewer than there are."""

    nodes: int
    fewer: int
    reason: str


def share_of_node(held: Resources, node: Resources) -> float:
    """The largest share that is taken of any resource of a node; above 1 for what does not fit, or is not there."""
    pairs = ((held.cpus, node.cpus), (held.memory_bytes, node.memory_bytes), (held.gpus, node.gpus))
    shares = [taken / have if have else math.inf for taken, have in pairs if taken]
    if held.gpus and held.gpu_model not in ("", node.gpu_model) and node.gpu_model:
        return math.inf
    return max(shares, default=0.0)


def shares(runs: Sequence[Run], node: Resources) -> list[float]:
    """The share of a node that each run takes."""
    known: dict[int, float] = {}  # a store's runs share the few resources that they hold, so that each is weighed once
    for run in runs:
        if id(run.resources) not in known:
            known[id(run.resources)] = share_of_node(run.resources, node)
    return [known[id(run.resources)] for run in runs]


def fits(share: float) -> bool:
    """Whether what takes such a share of a node could be held by one."""
    return 0 < share <= 1 + 1e-9


def market(pool: Pool, others: Sequence[Pool], day: date) -> Market | None:
    """The terms on which this pool's nodes compete with serverless; None where its price is not known."""
    node = price_in(pool, pool.unit, day)
    if node is None or not node.usd_per_hour:
        return None
    rates = [rate for other in others if (rate := _rate_of_node(pool.unit, other, day)) is not None]
    cluster = float(node.usd_per_hour)
    serverless = float(min(rates)) if rates else NO_ALTERNATIVE * cluster
    return Market(
        step_s=STEP_S,
        cluster=cluster,
        serverless=serverless,
        boot=max(math.ceil(pool.cold_start_s / STEP_S), 1),
        warmup=0,
    )


def _rate_of_node(node: Resources, other: Pool, day: date) -> Decimal | None:
    """Dollars an hour for the work of one node in containers of a serverless pool: equal parts of it that fit."""
    if other.kind is not PoolKind.SERVERLESS or (node.gpus and node.gpu_model not in ("", *other.gpu_models)):
        return None
    share = min(1.0, 1.0 / max(share_of_node(replace(node, gpu_model=""), other.unit), 1e-9))
    if not share:
        return None
    part = replace(node, cpus=node.cpus * share, memory_bytes=int(node.memory_bytes * share), gpus=node.gpus * share)
    price = price_in(other, part, day)
    return price.usd_per_hour / Decimal(str(share)) if price else None


def waiting(jobs: Sequence[Job], pool: Pool) -> list[Run]:
    """Queued jobs that may run in a pool, as if they had run since they were submitted: that they wait is its doing."""
    found = []
    for job in jobs:
        options, _ = resolve(job.spec, pool)
        for held in options[:1] * job.spec.resources.num_nodes:
            found.append(Run(user=job.user, pool=QUEUE, resources=held, started_ns=job.submitted_ns, ended_ns=None))
    return found


def workload(runs: Sequence[Run], node: Resources, now_ns: int, history_s: float = HISTORY_S) -> Workload:
    """Runs in nodes of a pool, on a clock that shows `history_s` now, so that a step begins at this moment."""
    began_ns = now_ns - round(history_s * NS_PER_S)
    taken = shares(runs, node)
    counted = [run for run, share in zip(runs, taken, strict=True) if fits(share)]
    ends = [min(run.ended_ns, now_ns) if run.ended_ns is not None else now_ns for run in counted]
    starts = [max(run.started_ns, began_ns) for run in counted]
    return Workload.of(
        [(start - began_ns) / NS_PER_S for start in starts],
        [max(end - start, 0) / NS_PER_S for start, end in zip(starts, ends, strict=True)],
        [share for share in taken if fits(share)],
        ended=[run.ended_ns is not None and run.ended_ns <= now_ns for run in counted],
        user=[run.user for run in counted],
    )


def wish(pool: Pool, others: Sequence[Pool], runs: Sequence[Run], now_ns: int, day: date) -> Wish | None:
    """How many nodes to hold from now on; None where the pool's price is not known, so that nothing can be weighed."""
    terms = market(pool, others, day)
    if terms is None:
        return None
    found = targets(workload(runs, pool.unit, now_ns), terms, until_s=HISTORY_S)
    nodes = min(int(found.cluster_gpus[-1]), pool.max_units)
    here, queued, away = (_work(runs, pool, where) for where in (pool.name, QUEUE, None))
    work = f"{here:.1f} nodes' work runs here, {away:.1f} elsewhere, and {queued:.1f} waits"
    return Wish(pool=pool.name, nodes=nodes, reason=_because(terms, work, _learnt(runs, now_ns), nodes, pool.max_units))


def _work(runs: Sequence[Run], pool: Pool, where: str | None) -> float:
    """What runs now in a pool, or (None) in any but this one and the queue, in nodes of this one."""
    there = [run for run in runs if run.ended_ns is None and _is(run.pool, where, pool.name)]
    shares = [share_of_node(run.resources, pool.unit) for run in there]
    return sum(share for share in shares if share <= 1 + 1e-9)


def _is(found: str, where: str | None, here: str) -> bool:
    return found == where if where is not None else found not in (here, QUEUE)


def _learnt(runs: Sequence[Run], now_ns: int) -> str:
    """What the number is drawn from: before a day is over, from little more than what runs."""
    began_ns = min((run.started_ns for run in runs), default=now_ns)
    if now_ns - began_ns >= LEARNT_S * NS_PER_S:
        return "by what has paid until now"
    return "no work was seen more than a day ago, so by what runs now"


def _because(terms: Market, work: str, learnt: str, nodes: int, most: int) -> str:
    if terms.serverless >= NO_ALTERNATIVE * terms.cluster:
        price = f"a node costs ${terms.cluster:.4g} an hour and nothing else can take its work"
    else:
        price = (
            f"a node costs ${terms.cluster:.4g} an hour, its work on serverless ${terms.serverless:.4g}: "
            f"it pays above {terms.breakeven:.0%} busy"
        )
    limit = f", and {most} is the most" if nodes == most else ""
    return f"{work}; {price}; {learnt} {nodes} should be held{limit}"


def steer(wished: Wish, up: int, fewer: int) -> Step:
    """From what is up to what was wished: more at once, fewer only when that was wished several times in a row."""
    if wished.nodes >= up:
        return Step(nodes=wished.nodes, fewer=0, reason=wished.reason)
    if fewer + 1 < PATIENCE:
        return Step(nodes=up, fewer=fewer + 1, reason=f"{wished.reason}; kept for now, in case work comes back")
    return Step(nodes=wished.nodes, fewer=fewer + 1, reason=wished.reason)
