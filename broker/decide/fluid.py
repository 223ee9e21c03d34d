"""Demand and targets → what they cost in the fluid model: capacity divides without loss, what is beyond it spills.

A cluster GPU is paid for from the moment that it is asked for and is usable `boot` steps later; what is given up first
is what still boots. A committed GPU is always usable. What fits on neither runs on serverless.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.compiled import compiled
from broker.decide.demand import Demand
from broker.decide.market import Market, Targets
from broker.decide.workload import Floats

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the steps after the market's warm-up cost, in its unit of money, and the GPU-hours behind it."""

    total: float
    cluster: float
    committed: float
    serverless: float
    cluster_gpu_hours: float
    committed_gpu_hours: float
    serverless_gpu_hours: float
    usable: Floats  # cluster GPUs that can be used, in each step
    spilled: Floats  # GPUs that run on serverless, in each step


def cost(demand: Demand, market: Market, targets: Targets) -> Cost:
    """Plays targets out. Raises ValueError, with the step, for targets that the market does not allow."""
    check(demand, market, targets)
    usable, paid = _play(targets.cluster_gpus, market.boot)
    spilled = np.maximum(demand.gpus - usable - targets.committed_gpus, 0.0)
    hours, counted = market.step_s / 3_600.0, slice(market.warmup, None)
    cluster, committed, serverless = (
        float(gpus[counted].sum() * hours) for gpus in (paid, targets.committed_gpus, spilled)
    )
    return Cost(
        total=cluster * market.cluster + committed * (market.commit or 0.0) + serverless * market.serverless,
        cluster=cluster * market.cluster,
        committed=committed * (market.commit or 0.0),
        serverless=serverless * market.serverless,
        cluster_gpu_hours=cluster,
        committed_gpu_hours=committed,
        serverless_gpu_hours=serverless,
        usable=usable,
        spilled=spilled,
    )


def check(demand: Demand, market: Market, targets: Targets) -> None:
    """Raises ValueError, with the step, for targets that the market does not allow."""
    columns = {"cluster_gpus": targets.cluster_gpus, "committed_gpus": targets.committed_gpus}
    for name, gpus in columns.items():
        if len(gpus) != len(demand):
            raise ValueError(f"{name} has {len(gpus)} steps, the demand has {len(demand)}")
        bad = np.flatnonzero(~np.isfinite(gpus) | (gpus < 0))
        if len(bad):
            raise ValueError(f"{name} of step {bad[0]} is {gpus[bad[0]]}: it must be at least 0")
    nodes = targets.cluster_gpus / market.node
    broken = np.flatnonzero(np.abs(nodes - np.round(nodes)) > TOLERANCE)
    if len(broken):
        raise ValueError(f"cluster_gpus of step {broken[0]} is no whole number of nodes of {market.node}")
    if market.commit is None and targets.committed_gpus.any():
        raise ValueError("committed_gpus: this market offers no commitments")
    _check_changes("cluster_gpus", targets.cluster_gpus, market.resize_every)
    _check_changes("committed_gpus", targets.committed_gpus, market.commit_window)


def _check_changes(name: str, gpus: Floats, every: int) -> None:
    changed = np.flatnonzero(np.diff(gpus)) + 1
    early = changed[changed % every != 0] if every > 1 else changed[:0]
    if len(early):
        raise ValueError(f"{name} changes at step {early[0]}, it may only every {every}")


@compiled
def _play(wanted: Floats, boot: int) -> tuple[Floats, Floats]:
    """GPUs that can be used and GPUs that are paid for, in each step."""
    usable, paid = np.zeros(len(wanted)), np.zeros(len(wanted))
    booting = np.zeros(boot + 1)  # by the steps that are left
    up = 0.0
    for t in range(len(wanted)):
        up += booting[1] if boot else 0.0
        for left in range(1, boot):
            booting[left] = booting[left + 1]
        if boot:
            booting[boot] = 0.0
        have = up + booting.sum()
        if wanted[t] > have:
            if boot:
                booting[boot] += wanted[t] - have
            else:
                up = wanted[t]
        surplus = have - wanted[t]
        for left in range(boot, 0, -1):
            if surplus > 0:
                given_up = min(surplus, booting[left])
                booting[left] -= given_up
                surplus -= given_up
        if surplus > 0:
            up -= surplus
        usable[t], paid[t] = up, up + booting.sum()
    return usable, paid
