"""What the distance to perfect hindsight consists of: deciders that are told a part of the future, beside the policy.

Told the ends: knows exactly when each job that runs will end, and nothing of what will come. What it pays above the
optimum is work that had not been submitted when the decision was made. Commitments are split in two: commitments made
with hindsight under the policy's cluster, and the policy's commitments under a cluster run with hindsight.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.bench_capacity import SHARED, history, recorded
from broker.decide import clairvoyant, fluid
from broker.decide.capacity import History, see, targets
from broker.decide.capacity.levels import elastic
from broker.decide.capacity.newsvendor import busy_shares, worth_holding
from broker.decide.compiled import compiled
from broker.decide.demand import Demand, demand
from broker.decide.forecast.models import jobs
from broker.decide.forecast.past import past
from broker.decide.market import SCENARIOS, Market, Targets
from broker.decide.workload import Floats, Workload

DAY_S = 86_400.0
SLOTS = 24


def told_ends(workload: Workload, market: Market) -> Targets:
    """Holds a level while it is busy; asks for it where what is known to run there repays the boot."""
    busy = see(workload, market.step_s).level
    lasts = 1 + market.cluster / (market.serverless - market.cluster)  # boots, from which on asking pays
    later = _known_to_run(
        workload.submit_s, workload.end_s, workload.gpus, len(busy), market.step_s, lasts * market.boot * market.step_s
    )
    held = _hold(busy, later, float(market.node))
    return Targets(cluster_gpus=held, committed_gpus=np.zeros(len(held)))


@compiled
def _known_to_run(submit: Floats, end: Floats, gpus: Floats, steps: int, step_s: float, ahead_s: float) -> Floats:
    """GPUs of the jobs that had been submitted as each step began and will run for so long from then on."""
    change = np.zeros(steps + 1)
    for j in range(len(submit)):
        first = int(np.ceil(submit[j] / step_s))
        last = int(np.floor((end[j] - ahead_s) / step_s))
        if first <= last and first < steps:
            change[first] += gpus[j]
            change[min(last + 1, steps)] -= gpus[j]
    return np.cumsum(change)[:steps]


@compiled
def _hold(busy: Floats, later: Floats, node: float) -> Floats:
    """Nodes held in each step: up to those known to be worth asking for; given up when idle."""
    held, out = 0.0, np.zeros(len(busy))
    for t in range(len(busy)):
        held = max(min(held, np.round(busy[t] / node) * node), np.round(later[t] / node) * node)
        out[t] = held
    return out


def told_ends_by_day(workload: Workload, market: Market) -> Targets:
    """The newsvendor's size for each day from what will truly be left of the jobs that run, with what came before."""
    steps, every = len(see(workload, market.step_s).demand), market.resize_every
    starts = np.arange(-(-steps // every)) * DAY_S
    then = past(workload, starts, DAY_S, DAY_S / SLOTS, SLOTS, np.random.default_rng(1))
    sizes = np.zeros(len(starts))
    sizes[0] = np.floor(then.level[0])
    for i in range(1, len(starts)):
        here = workload.submit_s < starts[i]
        running = here & (workload.end_s > starts[i])
        left = Workload.of(np.zeros(running.sum()), workload.end_s[running] - starts[i], workload.gpus[running])
        stay = demand(left, DAY_S / SLOTS, DAY_S).gpus[:SLOTS]
        seen = jobs(then, i)
        sizes[i] = worth_holding(busy_shares(stay[None], seen.cases, seen.weights, 1), market.breakeven, 1)
    return Targets(cluster_gpus=np.repeat(sizes, every)[:steps], committed_gpus=np.zeros(steps))


def best_commitments(known: History, market: Market) -> Targets:
    """Commitments made with hindsight; the cluster on top of them by the policy."""
    committed = clairvoyant.best(_busy(known, market), market).committed_gpus
    above = see(known, market.step_s).above(committed)
    return Targets(cluster_gpus=elastic(above, market), committed_gpus=committed)


def best_cluster(known: History, market: Market) -> Targets:
    """The policy's commitments; the cluster on top of them with hindsight."""
    committed = targets(known, market).committed_gpus
    busy = _busy(known, market)
    rest = Demand(step_s=busy.step_s, gpus=np.maximum(busy.gpus - committed, 0.0))
    elastic_market = Market(step_s=market.step_s, boot=market.boot, node=market.node)
    return Targets(cluster_gpus=clairvoyant.best(rest, elastic_market).cluster_gpus, committed_gpus=committed)


def _busy(known: History, market: Market) -> Demand:
    return known if isinstance(known, Demand) else demand(known, market.step_s)


ROWS: tuple[tuple[str, str, Callable[[Workload, Market], Targets]], ...] = (
    ("slow-boot", "the policy", targets),
    ("slow-boot", "told the ends", told_ends),
    ("day-ahead", "the policy", targets),
    ("day-ahead", "told the ends", told_ends_by_day),
    ("commit-14d", "the policy", targets),
    ("commit-14d", "commitments with hindsight", best_commitments),
    ("commit-14d", "cluster with hindsight", best_cluster),
)


def main() -> None:
    """Prints a Markdown table: mean and worst ratio to the optimum over the workloads of jobs."""
    if not (SHARED / "traces").exists():
        raise SystemExit(f"the recorded workloads are not at {SHARED}: this benchmark can't be run here")
    found = {path.name.removesuffix(".csv.gz"): history(path) for path in recorded()}
    known = {name: each for name, each in found.items() if isinstance(each, Workload)}
    print(f"| scenario | decider | mean of {len(known)} | worst |\n|---|---|---|---|")
    for scenario, name, decide in ROWS:
        market = SCENARIOS[scenario]
        ratios = [_ratio(each, market, decide) for each in known.values()]
        print(f"| {scenario} | {name} | {np.mean(ratios):.3f} | {np.max(ratios):.3f} |", flush=True)


def _ratio(known: Workload, market: Market, decide: Callable[[Workload, Market], Targets]) -> float:
    busy = _busy(known, market)
    return fluid.cost(busy, market, decide(known, market)).total / clairvoyant.optimum(busy, market)


if __name__ == "__main__":
    main()
