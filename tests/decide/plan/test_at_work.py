"""Which of the nodes that are paid anyway does the work: commitments first, and as much work as before."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.plan import Kind, Offer, Problem, Scenario, solve
from broker.decide.plan.at_work import IDLE_FIRST, able, by_class
from broker.decide.plan.serving import work_done
from broker.decide.plan.solve import solved
from tests.decide.plan.problems import drawn

NOTHING = 1e-6  # GPUs


@settings(max_examples=12)
@given(st.integers(0, 100_000))
def test_none_stands_idle_beside_work_of_one_that_is_to_stand_idle_before_it(seed: int) -> None:
    problem = drawn(seed, steps=12)
    model, found, _ = solved(problem)
    shares = by_class(model, found.values)
    room = {}
    for name in model.nodes:
        offer = next(each for each in problem.offers if each.name == name)
        room[name] = able(model, found.values, offer) - sum(gpus for key, gpus in shares.items() if key[0] == name)
        assert (room[name] >= -NOTHING).all()
    nodes = [each for each in problem.offers if each.name in model.nodes]
    nodes.sort(key=lambda each: (IDLE_FIRST.index(each.kind), -each.usd_per_gpu_hour))
    for first, last in combinations(nodes, 2):
        for work in problem.classes:
            if (first.name, work.name) in shares and (last.name, work.name) in shares:
                beside = np.minimum(shares[first.name, work.name], room[last.name])
                assert beside.max() <= NOTHING, (first.name, last.name, work.name)


@settings(max_examples=12)
@given(st.integers(0, 100_000))
def test_as_much_of_each_class_is_done_as_it_needs(seed: int) -> None:
    problem = drawn(seed, steps=12)
    model, found, _ = solved(problem)
    shares = by_class(model, found.values)
    for number, work in enumerate(problem.classes):
        done = sum(
            work_done(problem, offer, work) * shares[offer.name, work.name]
            for offer in problem.offers
            if (offer.name, work.name) in shares
        )
        needed = float(model.weight @ model.slices.demand[number])
        assert float(model.weight @ done) == pytest.approx(needed, rel=1e-6)
        assert all((gpus >= -NOTHING).all() for gpus in shares.values())


@pytest.mark.parametrize("whole_nodes", [False, True])
def test_a_commitment_is_filled_before_what_is_held_beside_it(whole_nodes: bool) -> None:
    """Both are there all the time, and either could do the work."""
    offers = (
        Offer(name="held", kind=Kind.HELD, usd_per_gpu_hour=2.0, resize_hours=8.0),
        Offer(name="firm", kind=Kind.COMMITTED, usd_per_gpu_hour=1.0, node=4, max_gpus=4),
        Offer(name="burst", kind=Kind.SERVERLESS, usd_per_gpu_hour=9.0),
    )
    course = Scenario(gpus=np.array([6.0, 6.0, 6.0, 3.0] * 2), weight=1.0)
    found = solve(Problem(offers=offers, scenarios=(course,), step_hours=1.0, whole_nodes=whole_nodes)).holdings
    assert found["firm"].busy_share == pytest.approx((3 * 4 + 3) / 16)
    assert found["held"].busy_share == pytest.approx(3 / 4)
