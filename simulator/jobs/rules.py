"""Named rules for one workload: how large the cluster may be, how long jobs wait for it, and what is bought besides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from broker.decide.capacity import targets
from broker.decide.demand import demand
from broker.decide.market import Market
from broker.decide.patience import SHORT_S, WAIT_SHARE
from broker.decide.spot import SpotRule
from broker.decide.workload import Workload
from simulator.jobs import random_draws
from simulator.jobs.run import run
from simulator.jobs.terms import Live, Rule, Terms

STEP_S = 300.0
KUBERAY_IDLE_S = 60.0
CONSTANT_WAIT_S = 0.454 * 3_600.0
WAIT_PER_SECOND = 0.25
WAIT_PER_GPU_SECOND = 0.076
# What `broker.decide.patience` comes to for a place that is paid for whatever is decided: it saves the whole price.
BY_WORTH = Rule(wait_per_second=WAIT_SHARE, wait_from_s=SHORT_S)
SIZES = 24  # that are tried at once for the best in hindsight


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A rule and what it is called."""

    title: str
    rule: Rule | Live
    hindsight: bool = False  # it knows the workload: a yardstick, not a choice


def rules(workload: Workload, terms: Terms, size: int | None = None, error: float = 0.0) -> Mapping[str, Named]:
    """What may be compared. `size` is that of the fixed clusters, in nodes; without it, the best in hindsight.

    `error` is that of estimated run times, as a deviation of their logarithm.
    """
    busy = demand(workload, STEP_S).gpus
    peak = max(_nodes(float(busy.max()), terms), _nodes(float(workload.gpus.max()), terms))
    known = size is None
    fixed = best_size(workload, terms, peak) if size is None else size
    waits = {
        "no-wait": ("no wait", Rule()),
        "constant-wait": (f"wait {CONSTANT_WAIT_S / 60:.0f} min", Rule(wait_s=CONSTANT_WAIT_S)),
        "runtime-wait": (f"wait {WAIT_PER_SECOND:.0%} of the run", Rule(wait_per_second=WAIT_PER_SECOND)),
        "compute-wait": ("wait by compute", Rule(wait_per_gpu_second=WAIT_PER_GPU_SECOND)),
        "star-wait": (
            "wait by compute, short jobs don't",
            Rule(wait_per_gpu_second=WAIT_PER_GPU_SECOND, wait_from_s=SHORT_S),
        ),
    }
    held = {
        name: Named(
            title=f"{fixed} node{'' if fixed == 1 else 's'}, {title}",
            rule=replace(rule, min_nodes=fixed, max_nodes=fixed, estimate_error=error),
            hindsight=known,
        )
        for name, (title, rule) in waits.items()
    }
    return {
        "broker": Named(
            title="the broker's capacity and wait",
            rule=by_capacity(workload, terms, replace(BY_WORTH, estimate_error=error)),
        ),
        "broker-no-wait": Named(title="the broker's capacity, no wait", rule=by_capacity(workload, terms, Rule())),
        "broker-wait": Named(
            title="the broker's capacity, wait for a node",
            rule=by_capacity(workload, terms, Rule(wait_s=terms.boot_s + STEP_S)),
        ),
        "all-serverless": Named(title="all serverless", rule=Rule(max_nodes=0)),
        "peak": Named(
            title="cluster for the peak", rule=Rule(min_nodes=peak, max_nodes=peak, wait_s=math.inf), hindsight=True
        ),
        "autoscaler": Named(title="Ray's autoscaler, jobs wait", rule=Rule(max_nodes=peak, wait_s=math.inf)),
        "kuberay": Named(
            title="KubeRay's autoscaler, jobs wait",
            rule=Rule(max_nodes=peak, wait_s=math.inf, node_idle_s=KUBERAY_IDLE_S),
        ),
        **held,
        **(_with_spot(peak) if terms.availability is not None else {}),
    }


def live_rules(workload: Workload, terms: Terms, error: float = 0.0, slack: float | None = None) -> Mapping[str, Named]:
    """The live broker's decisions, job by job, by its own wait, without, and where all may; with spot, if there is any.

    `slack` is that of deadlines, in run times; without deadlines there is but one rule for spot.
    """
    busy = demand(workload, STEP_S).gpus
    most = max(_nodes(float(busy.max()), terms), _nodes(float(workload.gpus.max()), terms))
    wait = f"jobs may wait {CONSTANT_WAIT_S / 60:.0f} min"
    return {
        "live": Named(title="the live broker", rule=Live(max_nodes=most, estimate_error=error)),
        "live-no-wait": Named(
            title="the live broker, no wait", rule=Live(max_nodes=most, wait_s=0.0, estimate_error=error)
        ),
        "live-wait": Named(
            title=f"the live broker, {wait}",
            rule=Live(max_nodes=most, wait_s=CONSTANT_WAIT_S, estimate_error=error),
        ),
        **(_live_with_spot(most, error, slack) if terms.availability is not None else {}),
    }


def _live_with_spot(most: int, error: float, slack: float | None) -> dict[str, Named]:
    live = Live(steer_every_s=None, wait_s=0.0, estimate_error=error, spot_nodes=most, slack=slack)
    there = {"live-spot": Named(title="the live broker, spot or serverless", rule=live)}
    if slack is not None:
        uniform = replace(live, spot_rule=SpotRule.UNIFORM_PROGRESS)
        there["live-uniform"] = Named(title="the same, by uniform progress", rule=uniform)
    return there


def fixed_size(there: Mapping[str, Named]) -> int:
    """How many nodes the fixed clusters of these rules have."""
    rule = there["no-wait"].rule
    return rule.max_nodes


def _with_spot(peak: int) -> dict[str, Named]:
    return {
        "spot": Named(
            title="autoscaler, spot before on demand",
            rule=Rule(max_nodes=peak, spot_nodes=peak, wait_s=math.inf),
        ),
        "spot-or-serverless": Named(
            title=f"spot alone, wait {CONSTANT_WAIT_S / 60:.0f} min",
            rule=Rule(max_nodes=0, spot_nodes=peak, wait_s=CONSTANT_WAIT_S),
        ),
    }


def by_capacity(workload: Workload, terms: Terms, waits: Rule) -> Rule:
    """As many nodes in each step as the broker's own capacity policy holds; jobs wait for them as a rule says.

    A job is known to have ended once it must have, however long it waited and whether it started cold: no earlier.
    """
    market = Market(
        step_s=STEP_S,
        cluster=terms.cluster,
        serverless=terms.serverless,
        boot=max(math.ceil(terms.boot_s / STEP_S), 1),
        node=max(round(terms.node_gpus), 1),
        warmup=0,
    )
    thought_s = workload.duration_s * random_draws.errors(terms.seed, waits.estimate_error, len(workload))
    longest_s = waits.wait_s + (waits.wait_per_second + waits.wait_per_gpu_second * workload.gpus) * thought_s
    seen = replace(workload, duration_s=workload.duration_s + longest_s + terms.cold_start_s)
    held = np.rint(targets(seen, market).cluster_gpus / market.node).astype(np.int64)
    return replace(waits, targets=tuple(held.tolist()), step_s=STEP_S)


def best_size(workload: Workload, terms: Terms, most: int) -> int:
    """The size of a fixed cluster that would have cost least if nobody waited: tried coarsely, then finely."""
    low, high = 0, most
    while True:
        sizes = np.unique(np.linspace(low, high, SIZES).round().astype(np.int64)).tolist()
        costs = [run(workload, terms, Rule(min_nodes=size, max_nodes=size)).cost for size in sizes]
        best = int(np.argmin(costs))
        if sizes[-1] - sizes[0] < SIZES:
            return int(sizes[best])
        low, high = sizes[max(best - 1, 0)], sizes[min(best + 1, len(sizes) - 1)]


def _nodes(gpus: float, terms: Terms) -> int:
    return math.ceil(gpus / terms.node_gpus)
