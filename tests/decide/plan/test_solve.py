"""Plans: held against another model of the same problem, against themselves with more or less choice, and by duals."""

from dataclasses import replace

import numpy as np
import pulp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.plan import Class, Kind, NoPlan, Offer, Problem, Scenario, solve
from broker.decide.plan.by_pulp import pulp_problem
from broker.decide.plan.solve import solved
from tests.decide.plan.problems import drawn
from tests.decide.plan.twin import least_cost

seeds = st.integers(0, 100_000)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("whole_nodes", [False, True])
@settings(max_examples=4)
@given(seed=seeds)
def test_another_model_of_the_same_problem_finds_the_same_cost(seed: int, whole_nodes: bool) -> None:
    problem = drawn(seed, steps=12, whole_nodes=whole_nodes)
    assert solve(problem).cost_usd == pytest.approx(least_cost(problem), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_what_limits_money_is_the_same_in_both() -> None:
    problem = drawn(3, steps=12)
    duty = sum(each.obliged_usd for each in solve(problem).holdings.values())
    bound = replace(problem, commitments_usd=max(0.3 * duty, 1.0))
    assert solve(bound).cost_usd == pytest.approx(least_cost(bound), rel=1e-6)
    assert solve(bound).cost_usd >= solve(problem).cost_usd - 1e-9


@settings(max_examples=15)
@given(seeds)
def test_collapsing_changes_the_size_and_not_the_optimum(seed: int) -> None:
    problem = drawn(seed, steps=48)
    coarse = replace(
        problem,
        scenarios=tuple(replace(each, gpus=np.round(each.gpus / 3) * 3) for each in problem.scenarios),
    )
    whole = solve(coarse, collapsed=False)
    small = solve(coarse)
    assert small.cost_usd == pytest.approx(whole.cost_usd, rel=1e-9)
    assert small.rows <= whole.rows


def _long(seed: int) -> Problem:
    """Enough hours that slices are merged, and split where their duals differ."""
    rng = np.random.default_rng(seed)
    steps = 1_500
    base = drawn(seed)
    plain = [replace(o, boot_hours=0.0, start_usd=0.0, minimum_hours=0.0, resize_hours=250.0) for o in base.offers]
    offers = [replace(o, term_hours=None) if o.kind is Kind.COMMITTED else o for o in plain]
    classes = tuple(replace(each, wait_hours=0.0) for each in base.classes)
    shape = (len(classes), steps) if len(classes) > 1 else (steps,)
    course = np.abs(4 + 3 * np.sin(np.arange(steps) / 4) + rng.normal(0, 2, shape))
    return replace(
        base, offers=tuple(offers), classes=classes, scenarios=(Scenario(gpus=course, weight=1.0),), period_hours=250.0
    )


@pytest.mark.parametrize("seed", range(6))
def test_many_hours_are_solved_by_few_and_cost_the_same(seed: int) -> None:
    problem = _long(seed)
    small, whole = solve(problem), solve(problem, collapsed=False)
    assert small.cost_usd == pytest.approx(whole.cost_usd, rel=1e-9)
    assert small.rows < whole.rows / 2


def test_pulp_has_the_same_programme() -> None:
    model, found, _ = solved(drawn(7, steps=10), collapsed=False)
    lp = pulp_problem(model.programme)
    lp.solve(pulp.HiGHS(msg=False, output_flag=False))
    assert pulp.value(lp.objective) == pytest.approx(found.cost, rel=1e-9)


@settings(max_examples=10)
@given(seeds)
def test_whole_nodes_cost_no_less_and_more_choice_no_more(seed: int) -> None:
    relaxed = drawn(seed, steps=12)
    best = solve(relaxed).cost_usd
    assert solve(replace(relaxed, whole_nodes=True)).cost_usd >= best - 1e-6
    for name in ("firm", "term", "nodes", "spot"):
        fewer = replace(relaxed, offers=tuple(each for each in relaxed.offers if each.name != name))
        assert solve(fewer).cost_usd >= best - 1e-6


@settings(max_examples=10)
@given(seeds)
def test_to_wait_never_costs_more_and_to_be_bound_never_less(seed: int) -> None:
    problem = drawn(seed, steps=12)
    patient = replace(problem, classes=tuple(replace(each, wait_hours=3.0) for each in problem.classes))
    bound = replace(problem, classes=tuple(replace(each, regions=frozenset({"eu"})) for each in problem.classes))
    best = solve(problem).cost_usd
    assert solve(patient).cost_usd <= best + 1e-6
    assert solve(bound).cost_usd >= best - 1e-6


PLAIN = (
    Offer(name="firm", kind=Kind.COMMITTED, usd_per_gpu_hour=1.5, node=4),
    Offer(name="short", kind=Kind.COMMITTED, usd_per_gpu_hour=1.2, max_gpus=3),
    Offer(name="daily", kind=Kind.HELD, usd_per_gpu_hour=2.5, node=2, resize_hours=6.0),
    Offer(name="burst", kind=Kind.SERVERLESS, usd_per_gpu_hour=4.5),
)


def plain(seed: int, **changes: object) -> Problem:
    rng = np.random.default_rng(seed)
    courses = [np.round(np.abs(8 + 5 * np.sin(np.arange(60) / 4) + rng.normal(0, 3, 60)), 1) for _ in range(2)]
    problem = Problem(
        offers=PLAIN,
        scenarios=tuple(Scenario(gpus=gpus, weight=0.5) for gpus in courses),
        step_hours=0.5,
        period_hours=6.0,
    )
    return replace(problem, **changes)  # type: ignore[arg-type]


@given(st.integers(0, 500), st.floats(0, 20), st.floats(0, 20))
@settings(max_examples=15)
def test_no_fixed_way_to_buy_costs_less(seed: int, firm: float, daily: float) -> None:
    problem, paid = plain(seed), 0.0
    for scenario in problem.scenarios:
        spilled = np.maximum(scenario.gpus - firm - daily, 0).sum() * problem.step_hours
        paid += scenario.weight * (4.5 * spilled + (1.5 * firm + 2.5 * daily) * problem.hours)
    assert solve(problem).cost_usd <= paid + 1e-6


@pytest.mark.parametrize("make", [plain, lambda seed: drawn(seed, steps=24)])
@pytest.mark.parametrize("seed", range(4))
def test_duals_are_what_a_little_more_demand_costs(make, seed: int) -> None:  # type: ignore[no-untyped-def]
    """The price of a period lies between what a little more and a little less demand in it change."""
    base, more = make(seed), 1e-5
    found = solve(base)
    hours = float(found.period_hours[1])
    begin = round(found.period_hours[0] / base.step_hours)
    end = begin + round(hours / base.step_hours)
    slopes = []
    for sign in (1, -1):
        moved = []
        for scenario in base.scenarios:
            gpus = scenario.gpus.copy()
            (gpus[0] if gpus.ndim == 2 else gpus)[begin:end] += sign * more
            moved.append(replace(scenario, gpus=np.maximum(gpus, 0.0)))
        changed = solve(replace(base, scenarios=tuple(moved))).cost_usd
        slopes.append(sign * (changed - found.cost_usd) / more / hours)
    price = found.gpu_hour_price[0, 1]
    assert slopes[1] - 1e-3 <= price <= slopes[0] + 1e-3


def test_one_more_committed_gpu_is_worth_nothing_at_the_optimum_and_something_where_it_is_limited() -> None:
    found = solve(plain(1))
    assert found.holdings["firm"].next_gpu_usd == pytest.approx(0.0, abs=1e-6)
    assert found.committed_gpus["short"] == pytest.approx(3.0)
    offers = tuple(replace(each, max_gpus=3.001) if each.name == "short" else each for each in PLAIN)
    gained = found.cost_usd - solve(plain(1, offers=offers)).cost_usd
    assert found.holdings["short"].next_gpu_usd == pytest.approx(gained / 0.001, rel=1e-3)


@given(st.integers(0, 500))
@settings(max_examples=10)
def test_the_parts_add_up(seed: int) -> None:
    found = solve(drawn(seed, steps=16))
    assert sum(found.cost_of.values()) == pytest.approx(found.cost_usd, rel=1e-7)
    problem = drawn(seed, steps=16)
    assert float(problem.weights @ found.scenario_usd) == pytest.approx(found.cost_usd, rel=1e-7)
    for each in found.holdings.values():
        assert each.busy_gpu_hours <= each.gpu_hours + 1e-6
        assert float(each.gpus @ found.period_hours) == pytest.approx(each.gpu_hours, abs=1e-6)


@given(seeds)
@settings(max_examples=5)
def test_as_much_is_at_work_as_there_is_work_and_what_is_beyond_it_stands_idle(seed: int) -> None:
    problem = plain(seed)
    needed = float(problem.weights @ problem.demand.sum((1, 2))) * problem.step_hours
    found = solve(problem)
    assert sum(each.busy_gpu_hours for each in found.holdings.values()) == pytest.approx(needed, rel=1e-7)
    assert sum(found.load_duration.by_offer.values()) == pytest.approx(found.load_duration.gpus, abs=1e-6)


def test_a_commitment_is_as_busy_as_its_work() -> None:
    offers = (
        Offer(name="firm", kind=Kind.COMMITTED, usd_per_gpu_hour=1.0),
        Offer(name="burst", kind=Kind.SERVERLESS, usd_per_gpu_hour=9.0),
    )
    half = Scenario(gpus=np.array([2.0, 0.0, 2.0, 0.0]), weight=1.0)
    found = solve(Problem(offers=offers, scenarios=(half,), step_hours=1.0))
    assert (found.committed_gpus["firm"], found.holdings["firm"].busy_share) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"offers": (Offer(name="few", kind=Kind.SERVERLESS, usd_per_gpu_hour=1, max_gpus=1),)}, "few has max_gpus 1"),
        ({"budget_usd": 1.0}, "budget_usd: the demand can't be met for \\$1.00: the least that it costs is"),
        ({"worst_usd": 1.0}, "worst_usd: no scenario may cost more than \\$1.00"),
        ({"classes": (Class(name="eu", regions=frozenset({"eu"})),)}, "it must stay in eu"),
    ],
)
def test_what_can_t_be_met_or_paid_is_said(changes: dict[str, object], said: str) -> None:
    with pytest.raises(NoPlan, match=said):
        solve(plain(1, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"offers": ()}, "at least one offer"),
        ({"scenarios": (Scenario(gpus=np.ones(3), weight=0.5),)}, "sum to 1"),
        ({"offers": (PLAIN[0], PLAIN[0])}, "same name"),
        ({"step_hours": 0.0}, "step_hours"),
        ({"scenarios": (Scenario(gpus=np.array([1.0, -1.0]), weight=1.0),)}, "at least 0"),
        ({"offers": (replace(PLAIN[2], resize_hours=0.7),)}, "whole number of steps"),
    ],
)
def test_what_is_no_problem_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plain(1, **changes)
