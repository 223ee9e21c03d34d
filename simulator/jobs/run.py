"""A workload, terms and a rule → the run of its jobs: cost, waiting, and where each ran."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np

from broker.decide.workload import Floats, Workload
from broker.model.errors import InvalidInput
from simulator.jobs import kernel, shapes, state
from simulator.jobs.result import Result, Waits, parts
from simulator.jobs.state import Ints, Jobs, Tables, World
from simulator.jobs.terms import Rule, Terms, check

CHUNK = 1_000_000  # rows whose shapes are looked for at once
ROWS = 64  # that tables begin with; a power of two


def run(workload: Workload, terms: Terms, rule: Rule, *, trail: bool = False) -> Result:
    """Plays a workload; with `trail`, keeps when and where each job started and ended.

    Raises `InvalidInput` where there is no job, a job would wait for ever, or the rule or the terms can't hold.
    """
    return _play((workload,), terms, rule, len(workload) if trail else 0)


def run_parts(parts_of_it: Iterable[Workload], terms: Terms, rule: Rule) -> Result:
    """Plays a workload that comes in parts, one after the other in time: no more than two are in memory at once.

    Raises `InvalidInput` also where a part begins before the one before it ended.
    """
    return _play(parts_of_it, terms, rule, 0)


def _play(parts_of_it: Iterable[Workload], terms: Terms, rule: Rule, kept: int) -> Result:
    check(terms, rule)
    if rule.node_idle_s is not None:
        terms = replace(terms, node_idle_s=rule.node_idle_s)
    world, tables, end_s, begun_s = _world(terms, rule, kept), state.empty(ROWS), 0.0, 0.0
    filled = (part for part in parts_of_it if len(part))
    for part, following in pairwise(chain(filled, (None,))):
        if part is None:
            break
        _in_order(begun_s, part)
        world = _with_shapes(world, part.gpus)
        if not world.sums[0]["jobs"]:
            kernel.begin(world, tables, part.submit_s[0])
        jobs = Jobs(part.submit_s, part.duration_s, part.gpus)
        tables, end_s = _played(world, tables, jobs, following is None)
        begun_s = float(part.submit_s[-1])
    sums = world.sums[0]
    if not sums["jobs"]:
        raise InvalidInput("the workload has no job that held a GPU")
    if sums["stuck"]:
        raise InvalidInput(f"{sums['waiting']} jobs would wait for ever: no rule gives them the nodes that they need")
    kernel.settle(world, tables, end_s, np.argsort(world.shapes["gpus"]))
    return _result(world, terms, end_s)


def _played(world: World, tables: Tables, jobs: Jobs, last: bool) -> tuple[Tables, float]:
    """Plays a part to its end, in tables as large as it needs."""
    sums = world.sums[0]
    sums["arrived"] = 0
    end_s = kernel.play(world, tables, jobs, last)
    while not sums["stuck"] and (sums["arrived"] < len(jobs.submit_s) or (last and sums["running"] + sums["waiting"])):
        tables = state.grown(tables, world.sums)
        end_s = kernel.play(world, tables, jobs, last)
    return tables, end_s


def _in_order(begun_s: float, part: Workload) -> None:
    if part.submit_s[0] < begun_s:
        raise InvalidInput(
            f"a part of the workload begins at {part.submit_s[0]:.0f} s, the one before it goes on to {begun_s:.0f} s: "
            "they must follow each other in time"
        )


def _with_shapes(world: World, gpus: Floats) -> World:
    """With a place for the containers of each size that there is."""
    found = {float(size) for at in range(0, len(gpus), CHUNK) for size in np.unique(gpus[at : at + CHUNK])}
    fresh = np.array(sorted(found - set(world.shapes["gpus"].tolist())))
    there = np.append(world.shapes, shapes.of(fresh, world.terms.node_parts))
    return world._replace(shapes=there, slots=shapes.slots(there))


def _world(terms: Terms, rule: Rule, kept: int) -> World:
    steps = _steps(terms, rule)
    most = max(rule.targets) if rule.targets else rule.max_nodes
    spot = min(rule.spot_nodes, int(steps.spot.max(initial=0)))
    sums = np.zeros(1, state.SUMS)
    sums["first_late_s"] = math.inf
    sums["least"], sums["most"] = rule.min_nodes, rule.max_nodes
    return World(
        terms=_terms(terms, most, most + spot),
        patience=state.Patience(
            constant_s=float(rule.wait_s),
            per_s=float(rule.wait_per_second),
            per_gpu_s=float(rule.wait_per_gpu_second),
            from_s=float(rule.wait_from_s),
            error=float(rule.estimate_error),
        ),
        steps=steps,
        sums=sums,
        nodes=np.zeros(most + spot, state.NODE),
        room=np.full(-(-(most + spot) // state.ABREAST) * state.ABREAST, state.NO_ROOM, np.int64),
        gang=np.full(most + spot, state.NONE, np.uint32),
        shapes=np.zeros(0, state.SHAPE),
        slots=np.zeros(0, np.uint32),
        waits=np.zeros(state.WAIT_BINS, np.int64),
        start_s=np.zeros(kept),
        end_s=np.zeros(kept),
        serverless=np.zeros(kept, np.bool_),
        soon_s=np.full(state.SOON + 2, np.inf),
        soon=np.zeros(state.SOON + 2, np.int64),
    )


def _terms(terms: Terms, on_demand: int, nodes_ever: int) -> state.Terms:
    return state.Terms(
        node_gpus=float(terms.node_gpus),
        node_parts=max(round(terms.node_gpus * state.PARTS), 1),
        boot_s=float(terms.boot_s),
        node_idle_s=float(terms.node_idle_s),
        node_minimum_s=float(terms.node_minimum_s),
        node_billing_s=float(terms.node_billing_s),
        cold_start_s=float(terms.cold_start_s),
        scaledown_window_s=float(terms.scaledown_window_s),
        container_minimum_s=float(terms.container_minimum_s),
        container_billing_s=float(terms.container_billing_s),
        mtbf_s=float(terms.node_mtbf_s),
        checkpoint_s=float(terms.checkpoint_s),
        on_demand=on_demand,
        nodes_ever=nodes_ever,
        tries=int(terms.tries),
        seed=int(terms.seed),
    )


def _steps(terms: Terms, rule: Rule) -> state.Steps:
    target: Ints = np.array(rule.targets, np.int64)
    target_s: Floats = np.arange(len(target), dtype=np.float64) * rule.step_s
    spot = terms.availability if rule.spot_nodes else None
    if spot is None:
        return state.Steps(target_s, target, np.zeros(0), np.zeros(0, np.int64))
    return state.Steps(target_s, target, np.append(spot.time_s, spot.period_s), np.minimum(spot.nodes, rule.spot_nodes))


def _result(world: World, terms: Terms, end_s: float) -> Result:
    sums = world.sums[0]
    hours = {name: float(sums[name]) / 3_600 for name in sums.dtype.names if name.endswith("gpu_s")}
    paid = parts(sums, terms)
    return Result(
        cost=sum(paid.values()),
        parts=paid,
        cluster_gpu_hours=hours["held_gpu_s"],
        spot_gpu_hours=hours["spot_gpu_s"],
        busy_gpu_hours=hours["busy_gpu_s"],
        boot_gpu_hours=hours["boot_gpu_s"],
        serverless_gpu_hours=hours["run_gpu_s"] + hours["cold_gpu_s"],
        tail_gpu_hours=hours["tail_gpu_s"],
        lost_gpu_hours=hours["lost_gpu_s"],
        jobs=int(sums["jobs"]),
        on_serverless=int(sums["on_serverless"]),
        cold_starts=int(sums["cold_starts"]),
        interruptions=int(sums["interrupted"]),
        waits=Waits.of(sums, world.waits),
        most_in_flight=int(sums["most_in_flight"]),
        events=int(sums["events"]) + int(sums["jobs"]),
        end_s=float(end_s),
        start_s=world.start_s,
        ended_s=world.end_s,
        serverless=world.serverless,
    )
