"""A workload, terms and a rule → the run of its jobs: cost, waiting, and where each ran."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from broker.decide.workload import Floats, Workload
from broker.model.errors import InvalidInput
from simulator.jobs import kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What capacity costs, in money per GPU-hour, and how long it takes to come and go, in seconds."""

    cluster: float = 1.0
    serverless: float = 1 / 0.45
    node_gpus: float = 8
    boot_s: float = 300.0  # paid
    node_idle_s: float = 300.0  # before a node is given up
    node_minimum_s: float = 60.0  # paid for a node at least
    cold_start_s: float = 10.0  # paid
    scaledown_window_s: float = 60.0  # a container stays warm so long after its job, and is paid for
    billing_s: float = 1.0  # serverless seconds are paid in multiples of this


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Between how many nodes the cluster may have, and how long a job waits for it before it runs serverless.

    A job waits `wait_s` seconds and `wait_per_second` times its duration: Starburst's constant, and its run-time-aware
    waiting with a perfect estimate (Luo and others, USENIX ATC 2024). 0 and 0 never wait.
    """

    min_nodes: int = 0
    max_nodes: int = 16
    wait_s: float = 0.0
    wait_per_second: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What it came to. Money is in the terms' unit; columns have a row for each job."""

    cost: float
    cluster_gpu_hours: float  # held, busy or not
    serverless_gpu_hours: float  # running or starting
    tail_gpu_hours: float  # warm and idle
    on_serverless: int
    cold_starts: int
    mean_wait_s: float
    longest_wait_s: float
    most_in_flight: int
    events: int
    end_s: float
    start_s: Floats  # empty unless asked for
    serverless: npt.NDArray[np.bool_]


def run(workload: Workload, terms: Terms, rule: Rule, *, trail: bool = False) -> Result:
    """Plays a workload; with `trail`, keeps when and where each job started.

    Raises `InvalidInput` where there is no job, or the rule or the terms can't hold.
    """
    _check(workload, terms, rule)
    world, jobs = _world(workload, terms, rule, trail)
    end_s = kernel.play(world, jobs)
    sums = world.sums[0]
    cluster, serverless, tail = (float(sums[name]) / 3_600 for name in ("node_gpu_s", "serverless_gpu_s", "tail_gpu_s"))
    return Result(
        cost=cluster * terms.cluster + (serverless + tail) * terms.serverless,
        cluster_gpu_hours=cluster,
        serverless_gpu_hours=serverless,
        tail_gpu_hours=tail,
        on_serverless=int(sums["on_serverless"]),
        cold_starts=int(sums["cold_starts"]),
        mean_wait_s=float(sums["wait_s"]) / len(workload),
        longest_wait_s=float(sums["longest_wait_s"]),
        most_in_flight=int(sums["most_in_flight"]),
        events=int(sums["events"]) + len(workload),
        end_s=float(end_s),
        start_s=world.start_s,
        serverless=world.serverless,
    )


def _check(workload: Workload, terms: Terms, rule: Rule) -> None:
    if not len(workload):
        raise InvalidInput("the workload has no job that held a GPU")
    if not 0 <= rule.min_nodes <= rule.max_nodes:
        raise InvalidInput(f"min_nodes {rule.min_nodes} must lie between 0 and max_nodes {rule.max_nodes}")
    if terms.node_gpus <= 0 or terms.billing_s <= 0:
        raise InvalidInput("node_gpus and billing_s must be greater than 0")
    if min(terms.boot_s, terms.node_idle_s, terms.cold_start_s, terms.scaledown_window_s, rule.wait_s) < 0:
        raise InvalidInput("times must be at least 0")


def _world(workload: Workload, terms: Terms, rule: Rule, trail: bool) -> tuple[kernel.World, kernel.Jobs]:
    shapes, shape = np.unique(workload.gpus, return_inverse=True)
    patience = np.full(len(workload), rule.wait_s) + rule.wait_per_second * workload.duration_s
    kept = len(workload) if trail else 0
    nodes = np.zeros(rule.max_nodes, kernel.NODE)
    nodes["gang"] = -1
    world = kernel.World(
        nodes=nodes,
        sums=np.zeros(1, kernel.SUMS),
        terms=kernel.Terms(
            node_gpus=float(terms.node_gpus),
            min_nodes=rule.min_nodes,
            boot_s=float(terms.boot_s),
            node_idle_s=float(terms.node_idle_s),
            node_minimum_s=float(terms.node_minimum_s),
            cold_start_s=float(terms.cold_start_s),
            scaledown_window_s=float(terms.scaledown_window_s),
            billing_s=float(terms.billing_s),
        ),
        shapes=shapes,
        bottom=np.zeros(len(shapes), np.int64),
        start_s=np.zeros(kept),
        serverless=np.zeros(kept, np.bool_),
    )
    columns = (workload.submit_s, workload.duration_s, workload.gpus, patience, shape.astype(np.int64))
    return world, kernel.Jobs(*columns)
