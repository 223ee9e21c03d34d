"""A plan explained in words: what to buy and why, the prices at which that changes, and how certain it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from broker.decide.plan import Holding, Kind, Plan, Problem
from broker.decide.plan.sensitivity import in_parts
from simulator.planning.alternatives import OF_KIND, alternatives, between
from simulator.planning.by_model import mixed, separable
from simulator.planning.offers import YEAR_H
from simulator.traces.describe import busy_shares

LITTLE = 1e-6  # GPUs
MONTH_H = 730.0
CENTS_BELOW = 100.0  # dollars


def in_words(problem: Problem, plan: Plan) -> str:
    """What to do and why, with the busy share at which it turns."""
    parts = [_bought(each) for each in plan.holdings.values() if each.gpu_hours > LITTLE]
    text = f"Buy: {', '.join(parts) or 'nothing'}: {dollars(plan.cost_usd)} in {_term(problem.hours)}."
    shares = busy_shares(np.concatenate(problem.demand.sum(1)))
    firm = int(sum(plan.committed_gpus.values()))
    if 0 < firm <= len(shares) and not mixed(problem):
        text += f" The last committed GPU is busy {shares[firm - 1]:.0%} of the time"
        text += f", the next would be {shares[firm]:.0%}." if firm < len(shares) else "."
    others = {name: cost for name, cost in alternatives(problem).items() if cost > 0}
    if others:
        name, cost = min(others.items(), key=lambda each: each[1])
        one = "kind of offer" if name in OF_KIND.values() else "offer"
        text += f" Of one {one} alone, {name} would cost least, {dollars(cost)} ({beyond(cost, plan.cost_usd)})."
    return text


def beyond(usd: float, plan_usd: float) -> str:
    """How much more than the plan something costs: in per cent, or as a multiple from twice its cost on."""
    more = usd / max(plan_usd, LITTLE) - 1
    return f"{more:+.0%}" if more < 1 else f"{more + 1:,.1f} times as much"


def _bought(each: Holding) -> str:
    if each.offer.kind is Kind.COMMITTED:
        return f"a commitment to {each.now_gpus:.4g} GPUs of {each.offer.name}"
    return f"{each.gpu_hours:,.0f} GPU-hours of {each.offer.name}"


def dollars(usd: float) -> str:
    """An amount for people: cents where they count."""
    return f"${usd:,.2f}" if 0 < abs(usd) < CENTS_BELOW else f"${usd:,.0f}"


def monthly(problem: Problem, usd: float) -> str:
    """What an amount for the planned time is in a month."""
    return f"{dollars(usd / months(problem))} a month"


def lead(problem: Problem, plan: Plan) -> str:
    """What the plan costs a month, and what it saves."""
    text = f"The cheapest mix costs {monthly(problem, plan.cost_usd)}"
    others = alternatives(problem)
    held = {OF_KIND[Kind.HELD], *(f"{each.name} for the peak" for each in problem.offers if each.kind is Kind.HELD)}
    peaks = sorted((name for name in others if name.endswith("peak")), key=lambda name: name not in held)
    for name in [name for name in others if name.startswith("all ")][:1] + peaks[:1]:
        if others[name] > plan.cost_usd:
            saved = (others[name] - plan.cost_usd) / months(problem)
            text += f", {dollars(saved)} ({1 - plan.cost_usd / others[name]:.0%}) less than {name}"
    return f"{text}."


def months(problem: Problem) -> float:
    """Length of the planned time, in months."""
    return problem.hours / MONTH_H


def figures(problem: Problem, plan: Plan) -> Iterator[tuple[str, str]]:
    """The headline figures, each as (value, what it is)."""
    yield dollars(plan.cost_usd / months(problem)), "a month"
    yield f"{sum(plan.committed_gpus.values()):,.3g}", "GPUs to commit to"
    held = sum(each.gpu_hours for each in plan.holdings.values() if each.offer.kind is Kind.HELD)
    burst = sum(each.busy_gpu_hours for each in plan.holdings.values() if each.offer.kind is Kind.SERVERLESS)
    yield f"{held / problem.hours:,.1f}", "GPUs held on average"
    needed = float(problem.weights @ problem.demand.sum((1, 2))) * problem.step_hours
    yield f"{burst / max(needed, LITTLE):.0%}", "of the work on serverless"
    if needed:
        yield f"${plan.cost_usd / needed:,.2f}", "for an hour of a busy GPU"


def advice(
    problem: Problem, plan: Plan, turns: Mapping[str, float | None], unbound_usd: float | None = None
) -> Iterator[str]:
    """What to do, one thing at a time, where the answer turns, and how sure that is."""
    yield from what_to_do(problem, plan, unbound_usd)
    parts = in_parts(problem)
    yield from (turning(name, plan.holdings[name], found, in_parts=parts) for name, found in turns.items())
    for name, worth in plan.limit_usd.items():
        yield f"{name} binds: one more would save ${worth:,.2f}."
    yield from _shares(problem, plan)
    yield how_sure(problem, plan)


def what_to_do(problem: Problem, plan: Plan, unbound_usd: float | None = None) -> Iterator[str]:
    """What to commit to, to hold and to leave to serverless; what the cheapest mix without commitments costs."""
    for name, each in plan.holdings.items():
        gpus = each.offer.gpu if mixed(problem) and each.offer.gpu else "GPUs"
        if each.offer.kind is Kind.COMMITTED and each.now_gpus > LITTLE:
            yield from _commitment(name, each, gpus)
        elif each.gpu_hours > LITTLE:
            verb = "Leave" if each.offer.kind is Kind.SERVERLESS else "Hold"
            where = "to" if each.offer.kind is Kind.SERVERLESS else "of"
            mean, cost = each.gpu_hours / problem.hours, monthly(problem, each.cost_usd)
            yield f"{verb} {mean:,.1f} {gpus} on average {where} {name}{_moves(each)}, {cost}."
    if unbound_usd is not None:
        yield from _worth_signing(problem, plan, unbound_usd)


def _worth_signing(problem: Problem, plan: Plan, unbound_usd: float) -> Iterator[str]:
    """What commitments save, and how long demand has to last for that to be more than they still oblige to pay."""
    saved, share = unbound_usd - plan.cost_usd, unbound_usd / max(plan.cost_usd, LITTLE) - 1
    yield (
        f"Without any commitment the cheapest mix costs {monthly(problem, unbound_usd)}: {share:+.1%}, "
        f"{dollars(saved / months(problem))} more."
    )
    owed = [
        (each.now_gpus * each.offer.usd_per_gpu_hour, each.offer.term_hours)
        for each in plan.holdings.values()
        if each.obliged_usd > LITTLE and each.offer.term_hours
    ]
    if owed:
        last_h = lasting_hours(owed, max(saved, 0.0) / problem.hours)
        yield (
            f"Signing pays only if demand like this lasts {last_h / MONTH_H:,.3g} of "
            f"{max(term_h for _, term_h in owed) / MONTH_H:,.3g} months: should it end earlier, the rest is paid "
            "for nothing."
        )


def lasting_hours(owed: Sequence[tuple[float, float]], saved_per_hour: float) -> float:
    """How long demand has to last for what commitments save until then to pay what they still cost after it.

    `owed`: dollars an hour of each commitment, and for how many hours.
    """
    ends = np.array(sorted({0.0, *(term_h for _, term_h in owed)}))
    idle = sum(usd * np.maximum(term_h - ends, 0.0) for usd, term_h in owed)
    return float(np.interp(0.0, saved_per_hour * ends - idle, ends))


def _moves(each: Holding) -> str:
    """The range of sizes a cluster has over time: its mean alone is not a size to hold."""
    low, high = float(each.gpus.min()), float(each.gpus.max())
    moves = each.offer.kind is Kind.HELD and high - low > 1
    return f" (between {low:,.0f} and {high:,.0f} over time)" if moves else ""


def _commitment(name: str, each: Holding, gpus: str) -> Iterator[str]:
    """What is signed, for how long, and what that comes to."""
    offer, nodes = each.offer, each.now_gpus / each.offer.node
    sold = f" ({nodes:,.4g} {'node' if abs(nodes - 1) < LITTLE else 'nodes'} of {offer.node})" if offer.node > 1 else ""
    term = f" for {_term(offer.term_hours)}" if offer.term_hours else ""
    share = f", busy {each.busy_share:.0%} of the time" if each.busy_share is not None else ""
    price = f"${offer.usd_per_gpu_hour:.4g} an hour"
    yield f"Commit to {each.now_gpus:,.4g} {gpus} of {name}{sold}{term} at {price}{share}."
    if each.obliged_usd > LITTLE:
        total, later = dollars(each.cost_usd + each.obliged_usd), dollars(each.obliged_usd)
        yield f"That obliges to pay {total} in all, {later} of it after the time planned."


def _term(hours: float) -> str:
    years = hours / YEAR_H
    if years >= 1 and years == round(years):
        return f"{years:.0f} {'year' if years == 1 else 'years'}"
    return f"{round(hours, 1):,g} hours" if hours < 48 else f"{round(hours / 24, 1):,g} days"


def _shares(problem: Problem, plan: Plan) -> Iterator[str]:
    """Warnings where the plan buys a fraction of a node, which nobody sells."""
    for name, each in plan.holdings.items():
        nodes = each.now_gpus / each.offer.node
        if not problem.whole_nodes and each.offer.node > 1 and abs(nodes - round(nodes)) > LITTLE:
            yield f"{name} is sold in nodes of {each.offer.node}: --whole-nodes buys no part of one."


def turning(name: str, each: Holding, below: float | None, *, in_parts: bool = False) -> str:
    """Up to which price an offer is bought at all; `in_parts`: of parts of nodes, though whole ones are bought."""
    now = f"{name}, at ${each.offer.usd_per_gpu_hour:.4g},"
    if below is None:
        return f"{now} would be bought at no price."
    if math.isinf(below):
        return f"{now} would be bought at any price: nothing can take its place."
    if in_parts:
        return f"{now} would be bought below ${below:.4g} an hour if nodes came in parts."
    return f"{now} {'is' if each.gpu_hours > LITTLE else 'would be'} bought below ${below:.4g} an hour, and not above."


def how_sure(problem: Problem, plan: Plan) -> str:
    """The range of costs over the demand scenarios."""
    if (found := between(plan.scenario_usd)) is None:
        return "How sure: demand is taken to repeat itself; --forecast plans for what may come instead."
    low, high = found
    between_usd = f"{dollars(low / months(problem))} and {monthly(problem, high)}"
    return f"How sure: in nine of ten courses that demand may take it costs between {between_usd}."


def assumptions(problem: Problem, why: str) -> Iterator[str]:
    """What is taken for granted; `why` demand is thought to be as it is, in one line or more."""
    yield from (f"{line[0].upper()}{line[1:].rstrip('.')}." for line in why.splitlines())
    yield from _models(problem)
    if problem.whole_nodes:
        prices = ", and up to which prices offers are bought," if in_parts(problem) else ""
        yield f"Nodes are whole; what GPU-hours are worth{prices} is that of the programme without this rule."
    else:
        yield "Parts of nodes can be bought; --whole-nodes asks for whole ones."
    for hours in sorted({offer.resize_hours for offer in problem.offers if offer.kind is Kind.HELD}):
        yield f"What is held keeps its size for {hours:g} h at a time."
    yield "Demand is known within a course once it begins: what surprises cost, `broker simulate` says."
    yield "GPUs divide without loss: large gangs on few nodes leave holes that cost more than this says."
    if any(offer.kind is Kind.COMMITTED for offer in problem.offers):
        yield "What a commitment costs after the time planned is told beside it and is not in the cost."


def _models(problem: Problem) -> Iterator[str]:
    """Which GPU models do the same work, or that none does another's."""
    if not mixed(problem):
        return
    if separable(problem):
        yield "No work has a choice of GPU models: the plan is the best one of each model, side by side."
    sold = {offer.gpu for offer in problem.offers}
    same = (_same({model: each for model, each in work.speeds.items() if model in sold}) for work in problem.classes)
    yield from dict.fromkeys(line for line in same if line)


def _same(speeds: Mapping[str, float]) -> str:
    if len(speeds) < 2:
        return ""
    fastest = max(speeds.values())
    gpus = " or ".join(f"{fastest / speed:.3g} {model}" for model, speed in speeds.items())
    return f"{gpus} are taken to do the same work in the same time, where jobs may run on any of them."
