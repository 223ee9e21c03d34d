"""What binds beyond single offers: quotas, what may be had at once, and money."""

from __future__ import annotations

import numpy as np

from broker.decide.plan.model import Model
from broker.decide.plan.nodes import block_hours
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.problem import Limit
from broker.decide.plan.programme import Ints, Term


def add_limits(model: Model) -> None:
    """Rows for limits on several offers, and for GPU-hours of one."""
    for limit in model.problem.limits:
        offers = [offer for offer in model.problem.offers if offer.name in limit.offers]
        if limit.max_gpus is not None:
            _at_once(model, limit, offers)
        if limit.max_gpu_hours is not None:
            _over_all(model, limit.name, offers, limit.max_gpu_hours)
    for offer in model.problem.offers:
        if offer.max_gpu_hours is not None:
            _over_all(model, offer.name, [offer], offer.max_gpu_hours)


def _at_once(model: Model, limit: Limit, offers: list[Offer]) -> None:
    terms: list[Term] = []
    for offer in offers:
        if offer.name in model.nodes:
            block = model.problem.block_steps(offer)
            columns = model.nodes[offer.name][model.slices.scenario, model.slices.step // block]
            terms.append((offer.node, columns))
        else:
            terms += [(1.0, columns) for columns in model.used(offer)]
    if terms:
        rows = model.add_local_rows(f"limit_{limit.name}", terms, upper=limit.max_gpus)
        model.limits[f"max_gpus of {limit.name}"] = rows


def _over_all(model: Model, name: str, offers: list[Offer], most: float) -> None:
    rows = []
    for number in range(len(model.problem.scenarios)):
        terms: list[Term] = []
        for offer in offers:
            if offer.name in model.nodes:
                hours = block_hours(model.problem, offer) * offer.node
                terms.append((hours, model.nodes[offer.name][number]))
                continue
            here = np.flatnonzero(model.slices.scenario == number)
            terms += [(model.slices.hours[here], columns[here]) for columns in model.used(offer)]
            model.coupled = True
        if terms:
            rows.append(model.programme.row(f"hours_{name}_{number}", terms, upper=most))
    if rows:
        model.limits[f"max_gpu_hours of {name}"] = np.concatenate(rows)


def add_money(model: Model) -> None:
    """Rows for what commitments may oblige to, and for what a scenario may cost."""
    if model.problem.commitments_usd is not None:
        terms: list[Term] = [
            (obliged(model, offer) * offer.node, model.nodes[offer.name][:1, 0])
            for offer in model.problem.offers
            if offer.kind is Kind.COMMITTED
        ]
        if terms:
            row = model.programme.row("commitments", terms, upper=model.problem.commitments_usd)
            model.limits["commitments_usd"] = row
    if model.problem.worst_usd is not None:
        model.limits["worst_usd"] = np.concatenate(
            [_worst(model, number, model.problem.worst_usd) for number in range(len(model.problem.scenarios))]
        )
        model.coupled = True


def obliged(model: Model, offer: Offer) -> float:
    """Dollars that a committed GPU obliges to pay, over its whole term."""
    horizon = model.problem.hours
    return offer.usd_per_hour_up * (offer.term_hours if offer.term_hours is not None else horizon)


def _worst(model: Model, number: int, most: float) -> Ints:
    """What a scenario costs: charges that are its own by their part of the expectation, shared ones whole."""
    terms: list[Term] = []
    owner = owners(model)
    for charge in model.programme.charges:
        of = owner[charge.columns]
        mine = (of == number) | (of < 0)
        share = np.where(of[mine] < 0, 1.0, model.problem.weights[number])
        terms.append((charge.usd[mine] / share, charge.columns[mine]))
    return model.programme.row(f"worst_{number}", terms, upper=most)


def owners(model: Model) -> Ints:
    """(columns,) the scenario that a column belongs to; -1 for what is chosen before it is known."""
    owner = np.full(model.programme.width, -1)
    for columns in (*model.nodes.values(), *model.starts.values()):
        for number, mine in enumerate(columns):
            owner[mine] = number
    for offer in model.problem.offers:
        if offer.kind is Kind.COMMITTED:
            owner[model.nodes[offer.name][:, 0]] = -1
    for columns in (*model.use.values(), *model.cold.values(), *model.waiting.values()):
        owner[columns] = model.slices.scenario
    return owner
