"""Workloads at the edge of what there is get the right answer from the fluid model, and in seconds."""

import numpy as np
import pytest

from broker.decide.market import Market
from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.compare import compare

MARKET = Market(warmup=0)
EXTREMES = {
    "one job": Workload.of([5], [60], [1]),
    "a million at once": Workload.of(np.zeros(1_000_000), np.full(1_000_000, 600.0), np.ones(1_000_000)),
    "three years of nothing": Workload.of([0, 1e8], [600, 600], [1, 1]),
    "not in order": Workload.of([900, 0, 300], [600, 60, 1_200], [1, 4, 2]),
}


@pytest.mark.parametrize("jobs", EXTREMES.values(), ids=EXTREMES)
def test_extremes_cost_what_they_must(jobs: Workload) -> None:
    found = compare(jobs, MARKET, ["broker", "all-serverless", "autoscaler"])
    costs = {outcome.policy.name: outcome.cost.total for outcome in found.outcomes}
    ends_s = (np.ceil(jobs.submit_s.max() / MARKET.step_s) + 1) * MARKET.step_s  # of demand, see `demand`
    work = float((jobs.gpus * (np.minimum(jobs.end_s, ends_s) - jobs.submit_s)).sum()) / 3_600
    assert costs["all-serverless"] == pytest.approx(work * MARKET.serverless, rel=1e-6)
    assert all(np.isfinite(cost) and cost >= found.optimum * (1 - 1e-9) for cost in costs.values())
    assert 0 < found.optimum <= costs["all-serverless"] * (1 + 1e-9)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput):
        compare(Workload.of([], [], []), MARKET, ["broker"])
