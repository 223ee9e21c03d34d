"""Plans: held against another model of the same problem, against themselves with more or less choice, and by duals."""

from dataclasses import replace

import linopy
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.plan import Kind, NoPlan, Offer, Problem, Scenario, solve
from broker.decide.plan.collapse import rows

OFFERS = (
    Offer(name="firm", kind=Kind.COMMITTED, usd_per_gpu_hour=1.5, node=4),
    Offer(name="short", kind=Kind.COMMITTED, usd_per_gpu_hour=1.2, max_gpus=3),
    Offer(name="daily", kind=Kind.HELD, usd_per_gpu_hour=2.5, node=2),
    Offer(name="burst", kind=Kind.SERVERLESS, usd_per_gpu_hour=4.5),
)


def problem(seed: int, *, steps: int = 60, scenarios: int = 2, whole_nodes: bool = False) -> Problem:
    rng = np.random.default_rng(seed)
    courses = [
        np.round(np.abs(8 + 5 * np.sin(np.arange(steps) / 4) + rng.normal(0, 3, steps)), 1) for _ in range(scenarios)
    ]
    return Problem(
        offers=OFFERS,
        scenarios=tuple(Scenario(gpus=gpus, weight=1 / scenarios) for gpus in courses),
        step_hours=0.5,
        block_steps=12,
        whole_nodes=whole_nodes,
    )


def by_linopy(given_problem: Problem) -> float:
    """The same problem, step by step, in another modelling library."""
    model = linopy.Model()
    offers = {offer.name: offer for offer in given_problem.offers}
    steps = pd.RangeIndex(given_problem.steps, name="step")
    blocks = pd.RangeIndex(-(-given_problem.steps // given_problem.block_steps), name="block")
    firm = {
        name: model.add_variables(lower=0, upper=(o.max_gpus or np.inf), name=name)
        for name, o in offers.items()
        if o.kind is Kind.COMMITTED
    }
    cost = sum(variable * (offers[name].usd_per_gpu_hour * given_problem.hours) for name, variable in firm.items())
    lengths = np.bincount(np.arange(given_problem.steps) // given_problem.block_steps) * given_problem.step_hours
    for number, scenario in enumerate(given_problem.scenarios):
        daily = model.add_variables(lower=0, coords=[blocks], name=f"daily{number}")
        burst = model.add_variables(lower=0, coords=[steps], name=f"burst{number}")
        of_step = daily.sel(
            block=pd.Series(np.arange(given_problem.steps) // given_problem.block_steps, index=steps).to_xarray()
        )
        supply = burst + of_step
        for variable in firm.values():
            supply = supply + variable
        model.add_constraints(supply >= pd.Series(scenario.gpus, index=steps).to_xarray(), name=f"met{number}")
        rate = offers["daily"].usd_per_gpu_hour * scenario.weight
        cost = cost + (daily * (pd.Series(lengths, index=blocks).to_xarray() * rate)).sum()
        cost = cost + (burst * (offers["burst"].usd_per_gpu_hour * given_problem.step_hours * scenario.weight)).sum()
    model.add_objective(cost)
    model.solve(solver_name="highs", output_flag=False)
    return float(model.objective.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_another_model_of_the_same_problem_finds_the_same_cost(seed: int) -> None:
    assert solve(problem(seed)).cost_usd == pytest.approx(by_linopy(problem(seed)), rel=1e-6)


@given(st.integers(0, 500))
@settings(max_examples=15)
def test_collapsing_changes_the_size_and_not_the_optimum(seed: int) -> None:
    coarse = problem(seed)
    coarse = replace(
        coarse, scenarios=tuple(replace(each, gpus=np.round(each.gpus / 4) * 4) for each in coarse.scenarios)
    )
    assert len(rows(coarse)) < len(rows(coarse, collapsed=False))
    assert solve(coarse).cost_usd == pytest.approx(solve(coarse, collapsed=False).cost_usd, rel=1e-9)


@given(st.integers(0, 500))
@settings(max_examples=10)
def test_whole_nodes_cost_no_less_and_more_choice_no_more(seed: int) -> None:
    relaxed = problem(seed, steps=36)
    best = solve(relaxed).cost_usd
    assert solve(replace(relaxed, whole_nodes=True)).cost_usd >= best - 1e-6
    for offer in OFFERS[:3]:
        fewer = replace(relaxed, offers=tuple(each for each in OFFERS if each is not offer))
        assert solve(fewer).cost_usd >= best - 1e-6


@given(st.integers(0, 500), st.floats(0, 20), st.floats(0, 20))
@settings(max_examples=15)
def test_no_fixed_way_to_buy_costs_less(seed: int, firm: float, daily: float) -> None:
    relaxed = problem(seed)
    paid = 0.0
    for scenario in relaxed.scenarios:
        spilled = np.maximum(scenario.gpus - firm - daily, 0).sum() * relaxed.step_hours
        paid += scenario.weight * (4.5 * spilled + (1.5 * firm + 2.5 * daily) * relaxed.hours)
    assert solve(relaxed).cost_usd <= paid + 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_duals_are_what_a_little_more_demand_costs(seed: int) -> None:
    base, more = problem(seed), 1e-4
    found = solve(base)
    begin, end = base.block_steps, 2 * base.block_steps
    for sign in (1, -1):
        moved = []
        for scenario in base.scenarios:
            gpus = scenario.gpus.copy()
            gpus[begin:end] += sign * more
            moved.append(replace(scenario, gpus=gpus))
        slope = sign * (solve(replace(base, scenarios=tuple(moved))).cost_usd - found.cost_usd) / more
        if sign == 1:
            upper = slope
        else:
            lower = slope
    assert lower - 1e-3 <= found.gpu_hour_price[1] <= upper + 1e-3


def test_one_more_committed_gpu_is_worth_nothing_at_the_optimum_and_something_where_it_is_limited() -> None:
    found = solve(problem(1))
    assert found.next_gpu_usd["firm"] == pytest.approx(0.0, abs=1e-6)
    assert found.next_gpu_usd["short"] > 0
    assert found.committed_gpus["short"] == pytest.approx(3.0)


def test_what_can_t_be_met_or_paid_is_said() -> None:
    with pytest.raises(NoPlan, match="raise max_gpus"):
        solve(replace(problem(1), offers=(Offer(name="few", kind=Kind.SERVERLESS, usd_per_gpu_hour=1, max_gpus=1),)))
    with pytest.raises(NoPlan, match="budget"):
        solve(replace(problem(1), budget_usd=1.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"offers": ()}, "at least one offer"),
        ({"scenarios": (Scenario(gpus=np.ones(3), weight=0.5),)}, "sum to 1"),
        ({"offers": (OFFERS[0], OFFERS[0])}, "same name"),
        ({"block_steps": 0}, "block_steps"),
    ],
)
def test_what_is_no_problem_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(problem(1), **changes)  # type: ignore[arg-type]
