"""One plan for several GPU models: never dearer than a plan of each, exactly their sum where nothing ties them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.plan import Class, Kind, Limit, Offer, Problem, Scenario, solve
from broker.decide.plan.sensitivity import bought_below
from broker.decide.plan.separate import part_of
from broker.decide.workload import Floats

MODELS = ("H100", "L4")
ONLY = {model: Class(name=model, speeds={model: 1.0}) for model in MODELS}
EITHER = Class(name="either", speeds={"H100": 1.0, "L4": 0.5})
STEPS, COURSES = 12, 2
SAME = 1e-6


def offers(rng: np.random.Generator, model: str) -> tuple[Offer, ...]:
    """A commitment, nodes that boot, and serverless, in this order of price."""
    firm, held, burst = np.sort(rng.uniform(0.5, 5.0, 3))
    return (
        Offer(name=f"firm {model}", kind=Kind.COMMITTED, usd_per_gpu_hour=float(firm), node=2, gpu=model),
        Offer(
            name=f"held {model}",
            kind=Kind.HELD,
            usd_per_gpu_hour=float(held),
            node=2,
            gpu=model,
            resize_hours=4.0,
            boot_hours=0.5,
        ),
        Offer(name=f"burst {model}", kind=Kind.SERVERLESS, usd_per_gpu_hour=float(burst), gpu=model),
    )


def needed(rng: np.random.Generator) -> Floats:
    """(courses, steps)."""
    return np.round(np.abs(rng.normal(3, 2, (COURSES, STEPS))), 1)


def problem(sold: tuple[Offer, ...], work: list[tuple[Class, Floats]], whole: bool) -> Problem:
    classes, demand = zip(*work, strict=True)
    courses = np.stack(demand, axis=1)
    return Problem(
        offers=sold,
        scenarios=tuple(Scenario(gpus=course, weight=1 / COURSES) for course in courses),
        step_hours=1.0,
        classes=classes,
        whole_nodes=whole,
    )


SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=8, deadline=None)


@FEW
@given(SEEDS, st.booleans())
def test_the_plan_of_all_is_never_dearer_than_a_plan_of_each_model(seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    sold = {model: offers(rng, model) for model in MODELS}
    of = {model: needed(rng) for model in MODELS}
    choice, share = needed(rng), rng.uniform(0, 1)  # of what has a choice, so much ran on the first model
    work = [*((ONLY[model], of[model]) for model in MODELS), (EITHER, choice)]
    joint = solve(problem((*sold["H100"], *sold["L4"]), work, whole)).cost_usd
    ran = {"H100": choice * share, "L4": choice * (1 - share) / EITHER.speeds["L4"]}
    each = [solve(problem(sold[model], [(ONLY[model], of[model] + ran[model])], whole)).cost_usd for model in MODELS]
    assert joint <= sum(each) * (1 + SAME)


@FEW
@given(SEEDS, st.booleans())
def test_models_that_nothing_ties_cost_exactly_the_sum_and_are_asked_about_alone(seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    sold = {model: offers(rng, model) for model in MODELS}
    work = {model: [(ONLY[model], needed(rng))] for model in MODELS}
    joint = problem((*sold["H100"], *sold["L4"]), [*work["H100"], *work["L4"]], whole)
    plan, alone = solve(joint), {model: problem(sold[model], work[model], whole) for model in MODELS}
    each = {model: solve(alone[model]) for model in MODELS}
    assert plan.cost_usd == pytest.approx(sum(found.cost_usd for found in each.values()), rel=SAME)
    for model in MODELS:
        part = part_of(joint, f"held {model}")
        assert part is not None and (part.offers, part.classes) == (sold[model], (ONLY[model],))
        assert (part.demand == alone[model].demand).all()


@FEW
@given(SEEDS, st.booleans())
def test_work_that_may_use_either_model_costs_no_more_than_on_the_cheaper_one(seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    sold, gpus = {model: offers(rng, model) for model in MODELS}, needed(rng)
    joint = solve(problem((*sold["H100"], *sold["L4"]), [(EITHER, gpus)], whole)).cost_usd
    each = [
        solve(problem(sold[model], [(ONLY[model], gpus / EITHER.speeds[model])], whole)).cost_usd for model in MODELS
    ]
    assert joint <= min(each) * (1 + SAME)


def test_the_price_up_to_which_an_offer_is_bought_is_that_of_its_part() -> None:
    rng = np.random.default_rng(1)
    sold = {model: offers(rng, model) for model in MODELS}
    work = {model: [(ONLY[model], needed(rng))] for model in MODELS}
    joint = problem((*sold["H100"], *sold["L4"]), [*work["H100"], *work["L4"]], whole=False)
    tied = replace(joint, commitments_usd=1e9)  # never binds, but is asked with all of it
    for name in ("firm H100", "held H100", "burst L4"):
        assert bought_below(joint, name) == pytest.approx(bought_below(tied, name), rel=1e-6)


def test_what_ties_models_keeps_them_together_and_what_no_class_may_use_is_in_no_part() -> None:
    rng = np.random.default_rng(2)
    sold = (*offers(rng, "H100"), *offers(rng, "L4"), Offer(name="t4", kind=Kind.HELD, usd_per_gpu_hour=0.1, gpu="T4"))
    apart = problem(sold, [(ONLY["H100"], needed(rng)), (ONLY["L4"], needed(rng))], whole=False)
    limited = replace(apart, limits=(Limit(name="quota", offers=("held H100", "held L4"), max_gpus=9.0),))
    choice = problem(sold, [(ONLY["H100"], needed(rng)), (EITHER, needed(rng))], whole=False)
    for tied in (limited, choice):
        part = part_of(tied, "burst L4")
        assert part is not None and (len(part.offers), len(part.classes), part.limits) == (6, 2, tied.limits)
    bounded = replace(apart, budget_usd=1e9)
    assert part_of(bounded, "held L4") is bounded
    assert part_of(apart, "t4") is None and bought_below(apart, "t4") is None
