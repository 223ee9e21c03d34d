"""Workloads, terms and rules at random, for tests of jobs one by one."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from broker.decide.workload import Workload
from simulator.jobs import Rule, Spot, Terms


def workload(seed: int, count: int, load: float, tasks: int = 1) -> Workload:
    """Jobs at random, in arrays of up to so many tasks, which are submitted together; no two end together."""
    rng = np.random.default_rng(seed)
    duration = rng.lognormal(5, 1.5, count)
    gpus = rng.choice([0.25, 1, 1, 2, 4, 8, 16, 24], count)
    gap = duration.mean() * gpus.mean() / load
    submit = rng.exponential(gap, count).cumsum()
    each = rng.integers(1, tasks + 1, count)
    apart = rng.uniform(0.9, 1.1, each.sum())
    return Workload.of(submit.repeat(each), duration.repeat(each) * apart, gpus.repeat(each))


def terms(rng: np.random.Generator, trouble: str) -> Terms:
    broken = {"failures": {"node_mtbf_s": rng.uniform(500, 20_000)}, "spot": {"availability": spot(rng)}}
    return Terms(
        **broken.get(trouble, {}),
        checkpoint_s=float(rng.choice([50.0, 500.0, np.inf])),
        tries=int(rng.choice([1, 3, 1000])),
        seed=int(rng.integers(0, 1000)),
        node_gpus=float(rng.choice([4, 8])),
        boot_s=rng.uniform(0, 600),
        node_idle_s=rng.uniform(0, 600),
        node_minimum_s=rng.uniform(0, 3600),
        cold_start_s=rng.uniform(0, 30),
        scaledown_window_s=rng.uniform(0, 120),
        node_billing_s=float(rng.choice([1.0, 3600.0])),
        container_billing_s=float(rng.choice([0.1, 1.0, 60.0])),
        container_minimum_s=float(rng.choice([0.0, 90.0])),
    )


def spot(rng: np.random.Generator) -> Spot:
    """Levels at random, some of them nothing."""
    times = np.append(0.0, rng.uniform(10, 5_000, 30)).cumsum()
    return Spot(time_s=times[:-1], nodes=rng.integers(0, 5, 30), period_s=float(times[-1]))


CASES: dict[str, Any] = {
    "seed": st.integers(0, 2**32 - 1),
    "count": st.integers(1, 120),
    "tasks": st.sampled_from([1, 1, 4]),
    "load": st.floats(1.0, 120.0),
    "min_nodes": st.integers(0, 4),
    "more_nodes": st.integers(0, 8),
    "waits": st.sampled_from(["never", "constant", "in proportion", "by compute", "for ever"]),
    "trouble": st.sampled_from(["none", "none", "failures", "spot", "targets"]),
}


def case(
    seed: int, count: int, load: float, min_nodes: int, more_nodes: int, waits: str, trouble: str, tasks: int = 1
) -> tuple[Any, Terms, Rule]:
    rng = np.random.default_rng(seed)
    waiting = {
        "never": {},
        "constant": {"wait_s": rng.uniform(1, 2000)},
        "in proportion": {"wait_per_second": rng.uniform(0.1, 3), "estimate_error": float(rng.choice([0.0, 0.7]))},
        "by compute": {"wait_per_gpu_second": rng.uniform(0.01, 1), "wait_from_s": 60.0},
        "for ever": {"wait_s": float("inf")},
    }[waits]
    more: dict[str, Any] = {"spot": {"spot_nodes": 3}}.get(trouble, {})
    if trouble == "targets":
        more = {"targets": (*rng.integers(0, 6, 300).tolist(), 4), "step_s": 171.3}
    rule = Rule(min_nodes=min_nodes, max_nodes=min_nodes + more_nodes, **waiting, **more)
    return workload(seed, count, load, tasks), terms(rng, trouble), rule
