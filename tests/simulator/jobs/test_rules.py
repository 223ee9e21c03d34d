"""Rules by name: the capacity rule decides from the past alone; the best size is the best; hindsight is said."""

from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.decide.workload import Workload
from simulator.jobs import Rule, Terms, run
from simulator.jobs.rules import BY_WORTH, STEP_S, best_size, by_capacity, rules
from tests.simulator.jobs.cases import workload

TERMS = Terms(node_gpus=2, boot_s=60.0, cold_start_s=20.0)


@given(
    seed=st.integers(0, 1_000),
    cut=st.floats(0.1, 0.9),
    stretch=st.floats(0.0, 3.0),
    waits=st.sampled_from([Rule(), Rule(wait_s=360.0), BY_WORTH, replace(BY_WORTH, estimate_error=0.7)]),
)
@example(seed=271, cut=0.59375, stretch=0.0, waits=BY_WORTH)
@settings(max_examples=20)
def test_what_the_capacity_rule_holds_depends_on_nothing_that_comes_later(
    seed: int, cut: float, stretch: float, waits: Rule
) -> None:
    drawn = workload(seed, 120, 12.0)
    jobs = Workload.of(drawn.submit_s * 8, drawn.duration_s * 8, np.minimum(drawn.gpus.round() + 1, 4))
    whole = run(jobs, TERMS, by_capacity(jobs, TERMS, waits), trail=True)
    now = float(jobs.submit_s[0] + cut * (jobs.submit_s[-1] - jobs.submit_s[0]))
    seen = jobs.take(jobs.submit_s < now)
    now = min(now, len(by_capacity(seen, TERMS, waits).targets) * STEP_S)  # what is held changes no more after that
    over = whole.ended_s[: len(seen)] <= now
    stretch = 0.0 if waits.wait_per_second else stretch  # the run time is what is estimated, and known beforehand
    other = Workload.of(seen.submit_s, np.where(over, seen.duration_s, seen.duration_s * (1 + stretch)), seen.gpus)
    again = run(other, TERMS, by_capacity(other, TERMS, waits), trail=True)
    assert (again.start_s[over] == whole.start_s[: len(seen)][over]).all()
    begun = whole.start_s[: len(seen)] <= now
    assert (again.serverless[begun] == whole.serverless[: len(seen)][begun]).all()


def test_the_best_size_costs_least_of_all() -> None:
    for seed in range(4):
        jobs = workload(seed, 200, 40.0)
        costs = [run(jobs, TERMS, Rule(min_nodes=size, max_nodes=size)).cost for size in range(40)]
        best = best_size(jobs, TERMS, 39)
        assert costs[best] == min(costs) or costs[best] < 1.02 * min(costs)


def test_what_knows_the_workload_says_so() -> None:
    jobs = workload(1, 100, 10.0)
    there, chosen = rules(jobs, TERMS), rules(jobs, TERMS, size=3)
    assert {name for name, each in there.items() if each.hindsight} == {
        *("peak", "no-wait", "constant-wait", "runtime-wait", "compute-wait", "star-wait")
    }
    assert {name for name, each in chosen.items() if each.hindsight} == {"peak"}
    assert chosen["runtime-wait"].rule.min_nodes == 3


def test_wrong_run_times_reach_every_rule_that_waits_by_them() -> None:
    jobs = workload(2, 300, 20.0)
    exact, wrong = (rules(jobs, TERMS, size=2, error=error) for error in (0.0, 0.7))
    told = {name for name in wrong if wrong[name].rule.estimate_error}
    assert {name for name in wrong if wrong[name].rule.wait_per_second or wrong[name].rule.wait_per_gpu_second} <= told
    waited = {error: run(jobs, TERMS, there["broker"].rule).waits for error, there in ((0.0, exact), (0.7, wrong))}
    assert waited[0.0].mean_s != waited[0.7].mean_s
