"""A plan → what to do and why, in words, with where the answer turns and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from broker.decide.plan import Holding, Kind, Plan, Problem
from simulator.traces.describe import busy_shares

LITTLE = 1e-6  # GPUs
MONTH_H = 730.0


def in_words(problem: Problem, plan: Plan) -> str:
    """What to do and why, with the busy share at which it turns."""
    parts = [_bought(each) for each in plan.holdings.values() if each.gpu_hours > LITTLE]
    text = f"Buy: {', '.join(parts) or 'nothing'}: ${plan.cost_usd:,.0f} in {problem.hours / 24:,.0f} days."
    shares = busy_shares(np.concatenate(problem.demand.sum(1)))
    firm = int(sum(plan.committed_gpus.values()))
    if 0 < firm <= len(shares):
        text += f" The last committed GPU is busy {shares[firm - 1]:.0%} of the time"
        text += f", the next would be {shares[firm]:.0%}." if firm < len(shares) else "."
    for name, cost in alternatives(problem).items():
        if cost > 0:
            text += f" Instead, {name} would cost ${cost:,.0f} ({cost / max(plan.cost_usd, 1e-9) - 1:+.0%})."
    return text


def _bought(each: Holding) -> str:
    if each.offer.kind is Kind.COMMITTED:
        return f"a commitment to {each.now_gpus:.4g} GPUs of {each.offer.name}"
    return f"{each.gpu_hours:,.0f} GPU-hours of {each.offer.name}"


def alternatives(problem: Problem) -> dict[str, float]:
    """What one offer alone would cost where every class may use it and it may be as large as is needed."""
    gpus, found = problem.demand.sum(1), dict[str, float]()
    if any(work.rules != type(work)(name=work.name).rules for work in problem.classes):
        return found
    mean = float(problem.weights @ gpus.sum(1)) * problem.step_hours
    for offer in problem.offers:
        if offer.kind is Kind.SERVERLESS:
            found[f"all {offer.name}"] = mean * offer.usd_per_hour_up
        elif offer.kind is Kind.COMMITTED:
            found[f"{offer.name} for the peak"] = float(gpus.max() * problem.hours * offer.usd_per_hour_up)
    return found


def advice(problem: Problem, plan: Plan, turns: Mapping[str, float | None]) -> Iterator[str]:
    """What to do, one thing at a time, and how sure that is."""
    for name, each in plan.holdings.items():
        if each.offer.kind is Kind.COMMITTED and each.now_gpus > LITTLE:
            share = f", busy {each.busy_share:.0%} of the time" if each.busy_share is not None else ""
            yield f"Commit to {each.now_gpus:.4g} GPUs of {name} at ${each.offer.usd_per_gpu_hour:.4g} an hour{share}."
            if each.obliged_usd > LITTLE:
                later = f"${each.obliged_usd:,.0f}"
                yield f"That obliges to pay {later} more after the time planned: it pays only if demand stays."
        elif each.gpu_hours > LITTLE:
            verb = "Leave" if each.offer.kind is Kind.SERVERLESS else "Hold"
            where = "to" if each.offer.kind is Kind.SERVERLESS else "of"
            mean = each.gpu_hours / problem.hours
            yield f"{verb} {mean:,.1f} GPUs on average {where} {name}, ${each.cost_usd:,.0f}."
    yield from (turning(name, plan.holdings[name], found) for name, found in turns.items())
    for name, worth in plan.limit_usd.items():
        yield f"{name} binds: one more would save ${worth:,.2f}."
    yield from _shares(problem, plan)
    yield how_sure(problem, plan)


def _shares(problem: Problem, plan: Plan) -> Iterator[str]:
    """Which nodes the plan buys a part of, which nobody sells."""
    for name, each in plan.holdings.items():
        nodes = each.now_gpus / each.offer.node
        if not problem.whole_nodes and each.offer.node > 1 and abs(nodes - round(nodes)) > LITTLE:
            yield f"{name} is sold in nodes of {each.offer.node}: --whole-nodes buys no part of one."


def turning(name: str, each: Holding, below: float | None) -> str:
    """Up to which price an offer is bought at all."""
    now = f"{name}, at ${each.offer.usd_per_gpu_hour:.4g},"
    if below is None:
        return f"{now} would be bought at no price."
    if math.isinf(below):
        return f"{now} would be bought at any price: nothing can take its place."
    return f"{now} {'is' if each.gpu_hours > LITTLE else 'would be'} bought below ${below:.4g} an hour, and not above."


def how_sure(problem: Problem, plan: Plan) -> str:
    """How far the courses that demand may take lie apart."""
    if len(problem.scenarios) == 1:
        return "How sure: demand is taken to repeat itself; --forecast plans for what may come instead."
    low, high = np.quantile(plan.scenario_usd, (0.05, 0.95))
    return f"How sure: in nine of ten courses that demand may take it costs between ${low:,.0f} and ${high:,.0f}."
