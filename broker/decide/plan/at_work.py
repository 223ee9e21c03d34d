"""A solved programme → the GPUs of each offer that do work.

Demand's rows say "at least": where nodes are paid anyway, the programme may use more of them than there is work, and
pay nothing for it. What is beyond the work stands idle.
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.classes import Class
from broker.decide.plan.model import Model, earlier
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.serving import work_done
from broker.decide.workload import Floats

IDLE_FIRST = (Kind.HELD, Kind.COMMITTED, Kind.SERVERLESS)


def at_work(model: Model, values: Floats) -> dict[str, Floats]:
    """(slices,) by offer. Of what is held the dearest stands idle first, then commitments."""
    found = {offer.name: np.zeros(len(model.slices)) for offer in model.problem.offers}
    for number, work in enumerate(model.problem.classes):
        beyond = _beyond(model, values, work, model.slices.demand[number])
        for offer in sorted(model.problem.offers, key=_idle_first):
            if (offer.name, work.name) in model.use:
                used, rate = values[model.use[offer.name, work.name]], work_done(model.problem, offer, work)
                idle = np.clip(beyond / rate, 0.0, used)
                found[offer.name] += used - idle
                beyond = beyond - idle * rate
    return found


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
