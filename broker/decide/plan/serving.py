"""Who works on what: GPUs of each offer on each class, no more than there are, enough for what is needed.

sum_c use_oc <= working_o          for nodes;  <= available_o  for what is paid by use
sum_o speed_oc * use_oc >= demand_c                            (with what waits, see `waiting`)
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.classes import Class, speed
from broker.decide.plan.model import Model, earlier
from broker.decide.plan.nodes import working
from broker.decide.plan.offers import Offer
from broker.decide.plan.problem import Problem
from broker.decide.plan.programme import Term


def add_use(model: Model) -> None:
    """Columns for each class that may use an offer; what is paid by use is charged here."""
    for offer in model.problem.offers:
        for work in model.problem.classes:
            if speed(offer, work) > 0:
                columns = model.add_local(f"use_{offer.name}_{work.name}")
                model.use[offer.name, work.name] = columns
                if model.problem.paid_by_use(offer):
                    model.programme.charge(offer.name, "capacity", columns, offer.usd_per_hour_up * model.weight)


def add_capacity(model: Model) -> None:
    """No more of an offer is at work than there is."""
    for offer in model.problem.offers:
        used: list[Term] = [(1.0, columns) for columns in model.used(offer)]
        if not used:
            continue
        if offer.name in model.nodes:
            there: list[Term] = [(-np.asarray(value), columns) for value, columns in working(model, offer)]
            model.capacity[offer.name] = model.add_local_rows(f"capacity_{offer.name}", used + there, upper=0.0)
        else:
            available = model.slices.available[model.problem.offers.index(offer)]
            if np.isfinite(available).any():
                rows = model.add_local_rows(f"capacity_{offer.name}", used, upper=available)
                model.capacity[offer.name] = rows


def work_done(problem: Problem, offer: Offer, work: Class) -> float:
    """Of a class in an hour, by one GPU of an offer at work on it."""
    return speed(offer, work) * (offer.working if problem.paid_by_use(offer) else 1.0)


def add_demand(model: Model) -> None:
    """What each class needs is done; or waits, where it may."""
    for number, work in enumerate(model.problem.classes):
        terms: list[Term] = []
        for offer in model.problem.offers:
            if (offer.name, work.name) in model.use:
                terms.append((work_done(model.problem, offer, work), model.use[offer.name, work.name]))
        if work.name in model.waiting:
            waiting = model.waiting[work.name]
            terms += [(1.0, waiting), (-1.0, earlier(waiting, model.before))]
        if work.name in model.unserved:
            terms.append((1.0, model.unserved[work.name]))
        if not terms:
            terms = [(0.0, np.full(len(model.slices), -1))]
        demand = model.slices.demand[number]
        model.met[work.name] = model.add_local_rows(f"demand_{work.name}", terms, lower=demand)
