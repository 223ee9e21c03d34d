"""Named rules for one workload: how large the cluster may be, and how long jobs wait for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from broker.decide.demand import demand
from broker.decide.workload import Workload
from simulator.jobs.run import Rule, Terms

CONSTANT_WAIT_S = 900.0
WAIT_PER_SECOND = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A rule and what it is called."""

    title: str
    rule: Rule


def rules(workload: Workload, terms: Terms) -> Mapping[str, Named]:
    """What may be compared. The fixed size is the best in hindsight for the workload, as if capacity divided freely."""
    busy = demand(workload, 300.0).gpus
    peak = max(_nodes(float(busy.max()), terms), _nodes(float(workload.gpus.max()), terms))
    fixed = _nodes(float(np.quantile(busy, 1 - terms.cluster / max(terms.serverless, terms.cluster))), terms)
    return {
        "all-serverless": Named(title="all serverless", rule=Rule(max_nodes=0)),
        "peak": Named(title="cluster for the peak", rule=Rule(min_nodes=peak, max_nodes=peak, wait_s=math.inf)),
        "autoscaler": Named(title="autoscaler, jobs wait", rule=Rule(max_nodes=peak, wait_s=math.inf)),
        "no-wait": Named(title=f"{fixed} nodes, no wait", rule=Rule(min_nodes=fixed, max_nodes=fixed)),
        "constant-wait": Named(
            title=f"{fixed} nodes, wait {CONSTANT_WAIT_S / 60:.0f} min",
            rule=Rule(min_nodes=fixed, max_nodes=fixed, wait_s=CONSTANT_WAIT_S),
        ),
        "runtime-wait": Named(
            title=f"{fixed} nodes, wait {WAIT_PER_SECOND:.0%} of the run",
            rule=Rule(min_nodes=fixed, max_nodes=fixed, wait_per_second=WAIT_PER_SECOND),
        ),
    }


def _nodes(gpus: float, terms: Terms) -> int:
    return math.ceil(gpus / terms.node_gpus)
