"""A problem → the part of it that an offer belongs to: what nothing ties to the rest can be asked about alone.

Offers are tied by a class that may use several of them, or a limit on them together; classes by an offer that all may
use. GPU models for which no job has a choice are not tied: the cheapest plan of all is then that of each, side by side.
"""

from __future__ import annotations

from dataclasses import replace

from broker.decide.plan.classes import speed
from broker.decide.plan.problem import Problem, Scenario


def part_of(problem: Problem, name: str) -> Problem | None:
    """The smallest part with this offer whose best plan is that of the whole; None where no class may use the offer.

    A limit on money ties everything together.
    """
    if any(limit is not None for limit in (problem.budget_usd, problem.worst_usd, problem.commitments_usd)):
        return problem
    offers, classes = _tied(problem, name)
    if not classes:
        return None
    rows = [number for number, work in enumerate(problem.classes) if work.name in classes]
    return replace(
        problem,
        offers=tuple(offer for offer in problem.offers if offer.name in offers),
        classes=tuple(problem.classes[number] for number in rows),
        limits=tuple(limit for limit in problem.limits if offers.issuperset(limit.offers)),
        scenarios=tuple(
            Scenario(
                gpus=course[rows],
                weight=scenario.weight,
                available={offer: gpus for offer, gpus in scenario.available.items() if offer in offers},
            )
            for scenario, course in zip(problem.scenarios, problem.demand, strict=True)
        ),
    )


def _tied(problem: Problem, name: str) -> tuple[set[str], set[str]]:
    """Names of the offers and classes that an offer is tied to, itself among them."""
    offers, classes, seen = {name}, set[str](), 0
    while len(offers) + len(classes) > seen:
        seen = len(offers) + len(classes)
        for work in problem.classes:
            usable = {offer.name for offer in problem.offers if speed(offer, work) > 0}
            if usable & offers:
                offers |= usable
                classes.add(work.name)
        for limit in problem.limits:
            if offers.intersection(limit.offers):
                offers.update(limit.offers)
    return offers, classes
