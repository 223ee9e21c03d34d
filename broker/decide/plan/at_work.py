"""A solved programme → the GPUs of each offer that do work.

Demand's rows say "at least": where nodes are paid anyway, the programme may use more of them than there is work, and
pay nothing for it. What is beyond the work stands idle. Which of the nodes that are paid anyway does the work costs the
same as well: what is committed does it first, and what is held the rest, the cheapest of each first.
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.classes import Class
from broker.decide.plan.model import Model, earlier
from broker.decide.plan.nodes import working
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.serving import work_done
from broker.decide.workload import Floats

IDLE_FIRST = (Kind.HELD, Kind.COMMITTED, Kind.SERVERLESS)
Shares = dict[tuple[str, str], Floats]  # (slices,) GPUs at work, by offer and class


def at_work(model: Model, values: Floats) -> dict[str, Floats]:
    """(slices,) by offer. Of what is held the dearest stands idle first, then commitments."""
    shares = by_class(model, values)
    found = {offer.name: np.zeros(len(model.slices)) for offer in model.problem.offers}
    for (name, _), gpus in shares.items():
        found[name] += gpus
    return found


def by_class(model: Model, values: Floats) -> Shares:
    """The same by offer and class: no node stands idle beside work of one that is to stand idle before it."""
    shares: Shares = {}
    for number, work in enumerate(model.problem.classes):
        beyond = _beyond(model, values, work, model.slices.demand[number])
        for offer in sorted(model.problem.offers, key=_idle_first):
            if (offer.name, work.name) in model.use:
                used, rate = values[model.use[offer.name, work.name]], work_done(model.problem, offer, work)
                idle = np.clip(beyond / rate, 0.0, used)
                shares[offer.name, work.name] = used - idle
                beyond = beyond - idle * rate
    offers = sorted((each for each in model.problem.offers if each.name in model.nodes), key=_idle_first)
    for kept in range(len(offers) - 1, 0, -1):
        _fill(model, shares, offers[kept], offers[:kept], able(model, values, offers[kept]))
    return shares


def able(model: Model, values: Floats, offer: Offer) -> Floats:
    """(slices,) GPUs of an offer's nodes that can work: up, and booted."""
    gpus = np.zeros(len(model.slices))
    for factor, columns in working(model, offer):
        gpus += np.asarray(factor, np.float64) * np.where(columns >= 0, values[columns], 0.0)
    return gpus


def _fill(model: Model, shares: Shares, offer: Offer, others: list[Offer], gpus: Floats) -> None:
    """Moves work to an offer that has room for it, from others that are to stand idle before it."""
    room = gpus - sum(share for (name, _), share in shares.items() if name == offer.name)
    room = np.maximum(room, 0.0)
    for other in others:
        for work in model.problem.classes:
            if (offer.name, work.name) in shares and (other.name, work.name) in shares:
                theirs, ours = (work_done(model.problem, each, work) for each in (other, offer))
                moved = np.minimum(room, shares[other.name, work.name] * theirs / ours)
                shares[offer.name, work.name] = shares[offer.name, work.name] + moved
                shares[other.name, work.name] = shares[other.name, work.name] - moved * ours / theirs
                room = room - moved


def _idle_first(offer: Offer) -> tuple[int, float]:
    return IDLE_FIRST.index(offer.kind), -offer.usd_per_gpu_hour


def _beyond(model: Model, values: Floats, work: Class, demand: Floats) -> Floats:
    """(slices,) how much more is done of a class than what is needed in each slice, or was put off until it."""
    done = -demand
    for offer in model.problem.offers:
        if (offer.name, work.name) in model.use:
            done = done + work_done(model.problem, offer, work) * values[model.use[offer.name, work.name]]
    if work.name in model.waiting:
        before = earlier(model.waiting[work.name], model.before)
        done = done + values[model.waiting[work.name]] - np.where(before >= 0, values[before], 0.0)
    if work.name in model.unserved:
        done = done + values[model.unserved[work.name]]
    return np.maximum(done, 0.0)
