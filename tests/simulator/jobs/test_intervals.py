"""Intervals over resampled workloads: the same wherever they are played, and honest about what is too short."""

import numpy as np
import pytest

from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.jobs import Terms, run
from simulator.jobs.intervals import Case, intervals, replicate
from simulator.jobs.rules import rules

NAMES = ("all-serverless", "autoscaler", "no-wait")


@pytest.fixture(scope="module")
def case() -> Case:
    rng = np.random.default_rng(4)
    submit = np.sort(rng.uniform(0, 6 * 86_400.0, 400))
    jobs = Workload.of(submit, np.exp(rng.normal(7.5, 1.0, 400)), rng.choice([1.0, 2.0, 8.0], 400))
    usable = frozenset({"all-serverless", "autoscaler"})
    return Case(workload=jobs, terms=Terms(node_mtbf_s=1e6), names=NAMES, usable=usable, size=2, error=0.3)


def test_they_are_of_what_replicates_cost(case: Case) -> None:
    found = intervals(case, 9, processes=1)
    each = [replicate(case, seed) for seed in range(9)]
    for name in NAMES:
        costs = np.array([one[name][0] for one in each])
        assert found[name].cost == pytest.approx(np.percentile(costs, (5, 95)))
        assert costs.std() > 0
        best = np.minimum(*([one[other][0] for one in each] for other in ("all-serverless", "autoscaler")))
        assert found[name].over_best == pytest.approx(np.percentile(costs / best, (5, 95)))
        assert found[name].mean_wait_s[0] <= found[name].mean_wait_s[1]
    assert replicate(case, 3) == each[3]


def test_what_was_is_among_what_might_have_been(case: Case) -> None:
    low, high = intervals(case, 20, processes=1)["all-serverless"].cost
    assert low < run(case.workload, case.terms, rules(case.workload, case.terms, 2)["all-serverless"].rule).cost < high


def test_processes_make_no_difference(case: Case) -> None:
    assert intervals(case, 3, processes=2) == intervals(case, 3, processes=1)


def test_ray_makes_no_difference(case: Case) -> None:
    assert intervals(case, 2, ray="local") == intervals(case, 2, processes=1)


def test_a_few_days_are_too_few() -> None:
    jobs = Workload.of([0, 86_400], [60, 60], [1, 1])
    short = Case(workload=jobs, terms=Terms(), names=NAMES, usable=frozenset(), size=1, error=0.0)
    with pytest.raises(InvalidInput, match=r"1\.0 days: intervals need 4"):
        intervals(short, 2)
