"""The problem of a plan, modelled a second time and another way: step by step, in linopy, without any of our arrays."""

from __future__ import annotations

from typing import Any

import linopy
import numpy as np
import pandas as pd

from broker.decide.plan import Class, Kind, Offer, Problem


def least_cost(problem: Problem) -> float | None:
    """What linopy and HiGHS find; None where there is no solution."""
    model = linopy.Model()
    firsts = {
        o.name: _nodes(model, problem, o, f"first_{o.name}", 1) for o in problem.offers if o.kind is Kind.COMMITTED
    }
    cost: Any = sum(
        firsts[o.name].sum() * (_rate(o) * o.node * min(_block(problem, o), problem.steps) * problem.step_hours)
        for o in problem.offers
        if o.kind is Kind.COMMITTED
    )
    for number in range(len(problem.scenarios)):
        cost = cost + _scenario(model, problem, number, firsts)
    if problem.commitments_usd is not None:
        duties = [
            firsts[o.name].sum() * (o.node * _rate(o) * (problem.hours if o.term_hours is None else o.term_hours))
            for o in problem.offers
            if o.kind is Kind.COMMITTED
        ]
        model.add_constraints(sum(duties) <= problem.commitments_usd, name="commitments")
    model.add_objective(cost)
    status, _ = model.solve(solver_name="highs", output_flag=False)
    return float(model.objective.value) if status == "ok" else None


def _scenario(model: linopy.Model, problem: Problem, number: int, firsts: dict[str, Any]) -> Any:
    weight, hours = problem.scenarios[number].weight, problem.step_hours
    steps = pd.RangeIndex(problem.steps, name="step")
    use: dict[tuple[str, str], Any] = {}
    cost: Any = 0
    for offer in problem.offers:
        for work in problem.classes:
            if _allowed(offer, work):
                use[offer.name, work.name] = model.add_variables(
                    lower=0, coords=[steps], name=f"use_{offer.name}_{work.name}_{number}"
                )
    for offer in problem.offers:
        used: Any = sum((v for (name, _), v in use.items() if name == offer.name), start=0)
        if offer.kind is Kind.SERVERLESS:
            if isinstance(used, int):
                continue
            cost = cost + used.sum() * (_rate(offer) * hours * weight)
            if offer.max_gpus is not None:
                model.add_constraints(used <= offer.max_gpus, name=f"most_{offer.name}_{number}")
            if offer.boot_hours or offer.start_usd:
                cost = cost + _cold(model, problem, offer, used, number) * weight
            continue
        held, paid, working = _held(model, problem, offer, number, firsts)
        cost = cost + paid * weight
        if not isinstance(used, int):
            model.add_constraints(used - working <= 0, name=f"capacity_{offer.name}_{number}")
        for limit in problem.limits:
            if limit.offers == (offer.name,) and limit.max_gpus is not None:
                model.add_constraints(held * offer.node <= limit.max_gpus, name=f"limit_{limit.name}_{number}")
    demand = problem.demand[number]
    for row, work in enumerate(problem.classes):
        done: Any = 0
        for offer in problem.offers:
            if (offer.name, work.name) in use:
                part = offer.working if offer.kind is Kind.SERVERLESS else 1.0
                done = done + use[offer.name, work.name] * (part * (work.speeds or {}).get(offer.gpu, 1.0))
        waits = int(work.wait_hours / hours + 1e-9)
        if waits:
            came = [demand[row, max(t - waits + 1, 0) : t + 1].sum() for t in range(problem.steps)]
            came[-1] = 0.0
            waiting = model.add_variables(
                lower=0, upper=pd.Series(came, index=steps), coords=[steps], name=f"wait_{work.name}_{number}"
            )
            done = done + waiting - waiting.shift(step=1)
        model.add_constraints(done >= pd.Series(demand[row], index=steps).to_xarray(), name=f"met_{work.name}_{number}")
    return cost


def _held(
    model: linopy.Model, problem: Problem, offer: Offer, number: int, firsts: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """Nodes by step, what they cost, and their GPUs at work."""
    block, hours = _block(problem, offer), problem.step_hours
    count = -(-problem.steps // block)
    of_step = np.arange(problem.steps) // block
    lengths = np.bincount(of_step) * hours
    index = pd.RangeIndex(count, name="block")
    nodes = _nodes(model, problem, offer, f"nodes_{offer.name}_{number}", count)
    price = _rate(offer) * offer.node
    if offer.kind is Kind.COMMITTED:
        model.add_constraints(
            nodes.isel(block=0) - firsts[offer.name].isel(block=0) == 0, name=f"same_{offer.name}_{number}"
        )
        lengths = lengths.copy()
        lengths[0] = 0.0  # paid once, not by each scenario
    paid: Any = (nodes * pd.Series(lengths * price, index=index).to_xarray()).sum()
    at = pd.Series(of_step, index=pd.RangeIndex(problem.steps, name="step")).to_xarray()
    held = nodes.sel(block=at)
    working = held * (offer.working * offer.node)
    if offer.kind is Kind.HELD and (offer.boot_hours or offer.start_usd or offer.minimum_hours):
        starts = model.add_variables(lower=0, coords=[index], name=f"starts_{offer.name}_{number}")
        grown = starts - nodes + nodes.shift(block=1)
        first = offer.running_gpus
        least = np.zeros(count)
        if first is None:
            least[0] = -np.inf
            model.add_constraints(starts.isel(block=0) == 0, name=f"free_{offer.name}_{number}")
        else:
            least[0] = -first / offer.node
        model.add_constraints(grown >= pd.Series(least, index=index).to_xarray(), name=f"grow_{offer.name}_{number}")
        stays = int(np.ceil(offer.minimum_hours / hours - 1e-9))
        paid = paid + starts.sum() * offer.start_usd
        after = np.maximum(np.arange(count) * block + stays - problem.steps, 0) * hours
        paid = paid + (starts * pd.Series(after * offer.usd_per_gpu_hour * offer.node, index=index).to_xarray()).sum()
        if -(-stays // block) > 1:
            kept = nodes - sum((starts.shift(block=ago) for ago in range(1, -(-stays // block))), start=starts)
            model.add_constraints(kept >= 0, name=f"keep_{offer.name}_{number}")
        for back in range(count):
            since = np.arange(problem.steps) - (of_step - back) * block
            lost = np.clip(offer.boot_hours / hours - since, 0.0, 1.0) * (of_step - back >= 0)
            if lost.any():
                from_block = pd.Series(np.maximum(of_step - back, 0), index=pd.RangeIndex(problem.steps, name="step"))
                taken = pd.Series(lost * offer.working * offer.node, index=from_block.index).to_xarray()
                working = working - starts.sel(block=from_block.to_xarray()) * taken
    return held, paid, working


def _cold(model: linopy.Model, problem: Problem, offer: Offer, used: Any, number: int) -> Any:
    index = pd.RangeIndex(problem.steps, name="step")
    cold = model.add_variables(lower=0, coords=[index], name=f"cold_{offer.name}_{number}")
    least = np.zeros(problem.steps)
    least[0] = -np.inf if offer.running_gpus is None else -offer.running_gpus
    model.add_constraints(
        cold - used + used.shift(step=1) >= pd.Series(least, index=index).to_xarray(),
        name=f"warm_{offer.name}_{number}",
    )
    return cold.sum() * (offer.start_usd + offer.boot_hours * offer.usd_per_gpu_hour)


def _nodes(model: linopy.Model, problem: Problem, offer: Offer, name: str, count: int) -> Any:
    most = np.inf if offer.max_gpus is None else offer.max_gpus / offer.node
    kinds: dict[str, Any] = {"integer": True} if problem.whole_nodes else {}
    if problem.whole_nodes:
        most = np.floor(most + 1e-9)
    return model.add_variables(lower=0, upper=most, coords=[pd.RangeIndex(count, name="block")], name=name, **kinds)


def _block(problem: Problem, offer: Offer) -> int:
    hours = offer.term_hours if offer.kind is Kind.COMMITTED else offer.resize_hours
    return problem.steps if hours is None else min(round(hours / problem.step_hours), problem.steps)


def _rate(offer: Offer) -> float:
    return offer.usd_per_gpu_hour * (1 + offer.overhead) + offer.interruptions_per_hour * offer.start_usd / offer.node


def _allowed(offer: Offer, work: Class) -> bool:
    return (
        (not work.offers or offer.name in work.offers)
        and (not work.speeds or offer.gpu in work.speeds)
        and (not work.regions or offer.region in work.regions)
        and (not work.dedicated or offer.dedicated)
        and (not work.runtime or work.runtime in offer.runtimes)
        and (work.interruptible or not offer.interruptions_per_hour)
    )
