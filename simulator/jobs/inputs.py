"""Arguments of the command line → a workload and terms. Raises `InvalidInput` for what can't be used."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

from broker.decide.demand import Demand, demand
from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.jobs import availability
from simulator.jobs.offers import priced
from simulator.jobs.terms import Terms
from simulator.traces import load


def jobs_of(trace: str) -> Workload:
    """The jobs of a trace. Raises `InvalidInput` for a series of busy GPUs."""
    workload = load(trace)
    if isinstance(workload, Demand):
        raise InvalidInput(f"{trace} is a series of busy GPUs: this needs jobs, with submit_s, duration_s and gpus")
    return workload


def with_offers(terms: Terms, node: str | None, serverless: str | None, spot: str | None) -> Terms:
    """Prices and billing of offers as they are today, where offers are named."""
    if node is None and serverless is None and spot is None:
        return terms
    if node is None or serverless is None:
        raise InvalidInput("--node-offer and --serverless-offer go together: dollars and shares can't be compared")
    return priced(terms, node, serverless, spot, datetime.now(UTC).date())


def with_spot(terms: Terms, file: str | None, workload: Workload) -> Terms:
    """What is known of spot nodes, for as many as the workload may need at once."""
    if file is None:
        return terms
    nodes = math.ceil(float(demand(workload, 300.0).gpus.max(initial=0.0)) / terms.node_gpus)
    return replace(terms, availability=availability.load(file, max(nodes, 1)))
