"""Cold starts of serverless offers whose starts cost: as many as the GPUs in use grow by.

    cold_t >= used_t - used_(t-1)          cost  cold_t * (start + boot hours * price)

In a fluid of work that is the least that there can be; what containers that come and go cost beside it is `overhead`.
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.model import Model, earlier
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.programme import Term


def add_cold_starts(model: Model) -> None:
    """Columns for the cold starts of each step, and what they cost."""
    for offer in model.problem.offers:
        if starts_cold(offer) and model.used(offer):
            _add(model, offer)


def starts_cold(offer: Offer) -> bool:
    """Whether the starts of a serverless offer cost something."""
    return offer.kind is Kind.SERVERLESS and bool(offer.boot_hours or offer.start_usd)


def _add(model: Model, offer: Offer) -> None:
    first = model.slices.step == 0
    upper = np.where(first & (offer.running_gpus is None), 0.0, np.inf)
    columns = model.add_local(f"cold_{offer.name}", upper=upper)
    terms: list[Term] = [(1.0, columns)]
    for used in model.used(offer):
        # Without a number that runs as the plan begins, the first step needs no start.
        now = np.where(first, -1, used) if offer.running_gpus is None else used
        terms += [(-1.0, now), (1.0, earlier(used, model.before))]
    running = np.where(first, -(offer.running_gpus or 0.0), 0.0)
    model.add_local_rows(f"warm_{offer.name}", terms, lower=running)
    usd = offer.start_usd + offer.boot_hours * offer.usd_per_gpu_hour
    model.programme.charge(offer.name, "starts", columns, usd * model.problem.weights[model.slices.scenario])
    model.cold[offer.name] = columns
    model.coupled = True
