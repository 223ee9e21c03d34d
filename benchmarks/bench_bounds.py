"""What the distance to perfect hindsight consists of: deciders that are told a part of the future, beside the policy.

Told the ends: knows exactly when each job that runs will end, and nothing of what will come. What it pays above the
optimum is work that had not been submitted when the decision was made. Told the days as well: also what each day of the
workload brings, later ones and the one at hand among them, but not which day is which; so it loses only what a policy
loses that cannot tell days apart, however well it knows how they are spread. Told the best holds: for each GPU for how
long it is best kept idle throughout. Commitments are also split in two: commitments made with hindsight under the
policy's cluster, and the policy's commitments under a cluster run with hindsight.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.bench_capacity import SHARED, history, recorded
from broker.decide import clairvoyant, fluid
from broker.decide.capacity import History, see, targets
from broker.decide.capacity.levels import elastic
from broker.decide.capacity.newsvendor import busy_shares, worth_holding
from broker.decide.compiled import compiled
from broker.decide.demand import Demand, demand
from broker.decide.forecast.arriving import arrivals
from broker.decide.forecast.models import ALIKE, jobs
from broker.decide.forecast.past import past
from broker.decide.market import SCENARIOS, Market, Targets
from broker.decide.workload import Floats, Workload

DAY_S = 86_400.0
SLOTS = 24
SLOT_S = DAY_S / 4  # of a window
HOLDS = (0, 1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 72, 144, 288)  # steps


def told_ends(workload: Workload, market: Market) -> Targets:
    """Holds a level while it is busy; asks for it where what is known to run there repays the boot."""
    busy = see(workload, market.step_s).level
    later = _worth_a_boot(workload, len(busy), market)
    held = _hold(busy, later, float(market.node))
    return Targets(cluster_gpus=held, committed_gpus=np.zeros(len(held)))


def _worth_a_boot(workload: Workload, steps: int, market: Market) -> Floats:
    """GPUs in each step of the jobs that will run for long enough from then on to repay a boot."""
    boots = 1 + market.cluster / (market.serverless - market.cluster)
    ahead_s = boots * market.boot * market.step_s
    return _known_to_run(workload.submit_s, workload.end_s, workload.gpus, steps, market.step_s, ahead_s)


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


def told_ends_and_holds(workload: Workload, market: Market) -> Targets:
    """As told the ends; and each level is kept idle for as long as turns out to be best for it, or is never held."""
    seen = see(workload, market.step_s)
    later = _worth_a_boot(workload, len(seen.demand), market)
    held = _best_holds(seen.level, later, seen.demand, (market.cluster, market.serverless, market.boot, market.warmup))
    return Targets(cluster_gpus=held, committed_gpus=np.zeros(len(held)))


@compiled
def _best_holds(busy: Floats, later: Floats, demand: Floats, terms: tuple[float, float, int, int]) -> Floats:
    """GPUs held in each step, level by level, by the hold that costs least."""
    cluster, serverless, boot, warmup = terms
    out = np.zeros(len(busy))
    for k in range(int(max(busy.max(), demand.max())) + 1):
        least = serverless * np.minimum(np.maximum(demand[warmup:] - k, 0.0), 1.0).sum()
        best = np.zeros(len(busy))
        for hold in HOLDS:
            held = _one_level(busy, later, k, hold)
            cost, asked = 0.0, 0
            for t in range(len(busy)):
                asked = asked + 1 if held[t] else 0
                if t >= warmup:
                    cost += cluster * held[t]
                    cost += serverless * min(max(demand[t] - k, 0.0), 1.0) if asked <= boot else 0.0
            if cost < least:
                least, best = cost, held
        out += best
    return out


@compiled
def _one_level(busy: Floats, later: Floats, k: int, hold: int) -> Floats:
    out = np.zeros(len(busy))
    idle = 0
    for t in range(len(busy)):
        idle = 0 if busy[t] > k + 0.5 else idle + 1
        if later[t] > k + 0.5 or (t and out[t - 1] and idle <= hold):
            out[t] = 1.0
    return out


def by_day(workload: Workload, market: Market, *, ends: bool, days: bool) -> Targets:
    """The newsvendor's size for each day, by the forecast's model of jobs where nothing else is told.

    Told the ends: from what will truly be left of the jobs that run. Told the days: with what comes on any day that is
    scored, this and later ones as well; more likely on its weekday.
    """
    steps, every = len(see(workload, market.step_s).demand), market.resize_every
    starts = np.arange(-(-steps // every)) * DAY_S
    then = past(workload, starts, DAY_S, DAY_S / SLOTS, SLOTS, np.random.default_rng(1))
    scored = np.arange(market.warmup // every, len(starts))
    sizes = np.zeros(len(starts))
    sizes[0] = np.floor(then.level[0])
    for i in range(1, len(starts)):
        stay = _left(workload, starts[i], DAY_S / SLOTS, SLOTS)[None] if ends else then.stay[i]
        seen = jobs(then, i)
        come, weights = seen.cases, seen.weights
        if days:
            come, weights = then.come[scored], np.where((scored - i) % 7, 1.0, ALIKE)
        sizes[i] = worth_holding(busy_shares(stay, come, weights / weights.sum(), 1), market.breakeven, 1)
    return Targets(cluster_gpus=np.repeat(sizes, every)[:steps], committed_gpus=np.zeros(steps))


def _left(workload: Workload, now_s: float, slot_s: float, slots: int) -> Floats:
    """GPUs that jobs which run at a time will truly hold in each slot from then on."""
    running = (workload.submit_s < now_s) & (workload.end_s > now_s)
    left = Workload.of(np.zeros(running.sum()), workload.end_s[running] - now_s, workload.gpus[running])
    return demand(left, slot_s, (slots + 0.5) * slot_s).gpus[:slots]


def told_ends_and_windows(workload: Workload, market: Market) -> Targets:
    """Commits by what will truly be left of the jobs that run, with what comes in so long after any day."""
    seen = see(workload, market.step_s)
    steps, window_s = len(seen.demand), market.commit_window * market.step_s
    slots = round(window_s / SLOT_S)
    begins = np.arange(0.0, max(steps * market.step_s - window_s, 1.0), DAY_S)
    come = arrivals(workload.submit_s, workload.end_s, workload.gpus, begins, window_s, SLOT_S, slots)
    weights = np.full(len(come), 1 / len(come))
    sizes = []
    for start in range(0, steps, market.commit_window):
        stay = _left(workload, start * market.step_s, SLOT_S, slots)
        shares = busy_shares(stay[None], come, weights, 1)
        sizes.append(worth_holding(shares, (market.commit or 0.0) / market.cluster, 1))
    committed = np.repeat(np.array(sizes), market.commit_window)[:steps]
    return Targets(cluster_gpus=elastic(seen.above(committed), market), committed_gpus=committed)


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
    ("slow-boot", "told the ends and the best holds", told_ends_and_holds),
    ("day-ahead", "the policy", targets),
    ("day-ahead", "the model of jobs, told nothing", partial(by_day, ends=False, days=False)),
    ("day-ahead", "told the days", partial(by_day, ends=False, days=True)),
    ("day-ahead", "told the ends", partial(by_day, ends=True, days=False)),
    ("day-ahead", "told the ends and the days", partial(by_day, ends=True, days=True)),
    ("commit-14d", "the policy", targets),
    ("commit-14d", "told the ends and what comes after any day", told_ends_and_windows),
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
