"""What capacity costs and how it comes and goes; what a rule does with it; which spot nodes could be had when."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from broker.decide.workload import Floats
from broker.model.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Spot nodes that could be had over time, as recorded; after the last level the first comes again."""

    time_s: Floats  # when each level begins; the first is the beginning
    nodes: npt.NDArray[np.int64]
    period_s: float  # until the first level comes again


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What capacity costs, in `unit` per GPU-hour, and how long it takes to come and go, in seconds."""

    cluster: float = 1.0
    serverless: float = 1 / 0.45
    spot: float = 0.4
    unit: str = "GPU-hours of the cluster"
    node_gpus: float = 8
    boot_s: float = 300.0  # paid
    node_idle_s: float = 300.0  # before a node is given up
    node_minimum_s: float = 60.0  # paid for a node at least
    node_billing_s: float = 1.0  # a node's life is paid in multiples of this
    cold_start_s: float = 10.0  # paid
    scaledown_window_s: float = 60.0  # a container stays warm so long after its job, and is paid for
    container_minimum_s: float = 0.0
    container_billing_s: float = 1.0
    node_mtbf_s: float = math.inf  # mean time until a node fails, exponentially distributed; also of spot nodes
    checkpoint_s: float = math.inf  # an interrupted job goes on from a multiple of this; infinite: begins again
    tries: int = 3  # a job interrupted so often runs serverless
    availability: Spot | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How many nodes there may be, and how long a job waits for them before it runs serverless.

    A job that is thought to run d seconds on g GPUs waits `wait_s` + (`wait_per_second` + `wait_per_gpu_second` · g)
    · d seconds, and not at all where d is below `wait_from_s`. These are the waiting policies of Starburst (Luo and
    others, USENIX ATC 2024): constant, by run time, by compute, and none for short jobs.
    """

    min_nodes: int = 0
    max_nodes: int = 16
    spot_nodes: int = 0  # that may be held besides, where they can be had; they are asked for first
    wait_s: float = 0.0
    wait_per_second: float = 0.0
    wait_per_gpu_second: float = 0.0
    wait_from_s: float = 0.0
    estimate_error: float = 0.0  # deviation of the logarithm of estimated over true run time
    node_idle_s: float | None = None  # before a node is given up; None: as the terms say
    targets: tuple[int, ...] = ()  # nodes to hold in each step from second 0 on, instead of min_nodes and max_nodes
    step_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The live broker's own decisions: a placement for each job, and a cluster that the autopilot steers."""

    nodes: int = 0  # that are there at first
    max_nodes: int = 16
    wait_s: float | None = None  # how long jobs may wait; None: they don't say, and the broker's default holds
    steer_every_s: float | None = 600.0  # None: the cluster keeps its size
    estimate_error: float | None = 0.0  # as a rule's; None: users say nothing, and past runs have to do
    spot_nodes: int = 0  # that may be held besides, where they can be had
    spot_rule: str = "cheapest"  # as the broker's setting
    slack: float | None = None  # each job's deadline, in run times from its submission; None: none


def check(terms: Terms, rule: Rule) -> None:
    """Raises `InvalidInput` where terms or rule can't hold, naming the field."""
    if not 0 <= rule.min_nodes <= rule.max_nodes:
        raise InvalidInput(f"min_nodes {rule.min_nodes} must lie between 0 and max_nodes {rule.max_nodes}")
    if rule.spot_nodes < 0 or min(rule.targets, default=0) < 0:
        raise InvalidInput("spot_nodes and targets must be at least 0")
    if rule.spot_nodes and terms.availability is None:
        raise InvalidInput("spot_nodes: nothing is known of when spot nodes could be had")
    for name in ("node_gpus", "node_billing_s", "container_billing_s", "node_mtbf_s", "checkpoint_s", "tries"):
        if not getattr(terms, name) > 0:
            raise InvalidInput(f"{name} must be greater than 0")
    for name in ("boot_s", "node_idle_s", "node_minimum_s", "cold_start_s", "scaledown_window_s"):
        if not 0 <= getattr(terms, name) < math.inf:
            raise InvalidInput(f"{name} must be at least 0, and finite")
    if rule.node_idle_s is not None and not 0 <= rule.node_idle_s < math.inf:
        raise InvalidInput("node_idle_s must be at least 0, and finite")
    for name in ("wait_s", "wait_per_second", "wait_per_gpu_second", "wait_from_s", "estimate_error"):
        if not getattr(rule, name) >= 0:
            raise InvalidInput(f"{name} must be at least 0")
