"""Every policy that claims no hindsight decides from the past alone; all give what their market allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide import fluid
from broker.decide.demand import Demand, demand
from broker.decide.market import SCENARIOS, Market
from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.compare import compare
from simulator.intervals import intervals
from simulator.policies import POLICIES
from simulator.resample import resampled

MARKETS = {
    "elastic": Market(warmup=0),
    "nodes": Market(node=8, boot=3, warmup=0),
    "periods": Market(boot=0, resize_every=24, warmup=0),
    "windows": Market(commit=0.6, commit_window=96, warmup=0),
}
CAUSAL = [name for name, policy in POLICIES.items() if not policy.hindsight]
STEP = 300.0


def jobs(seed: int, days: float = 2.0, count: int = 120) -> Workload:
    rng = np.random.default_rng(seed)
    submit = np.sort(rng.uniform(0, days * 86_400.0, count))
    return Workload.of(submit, np.exp(rng.normal(8.0, 2.0, count)) + 1.0, rng.choice([1, 1, 2, 8], count))


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("market", MARKETS.values(), ids=MARKETS)
@given(seed=st.integers(0, 1_000), cut=st.integers(1, 560), stretch=st.floats(0.0, 3.0))
@settings(max_examples=8)
def test_nothing_decided_before_depends_on_what_came_later(
    market: Market, name: str, seed: int, cut: int, stretch: float
) -> None:
    whole, now = jobs(seed), cut * STEP
    seen = whole.take(whole.submit_s < now)
    running = seen.end_s > now
    left = (seen.end_s - now) * np.random.default_rng(seed + 1).uniform(0.0, stretch, len(seen)) + 1e-3
    other = Workload.of(seen.submit_s, np.where(running, now - seen.submit_s + left, seen.duration_s), seen.gpus)
    first, second = POLICIES[name].choose(whole, market), POLICIES[name].choose(other, market)
    steps = min(cut + 1, len(first.cluster_gpus), len(second.cluster_gpus))
    assert (first.cluster_gpus[:steps] == second.cluster_gpus[:steps]).all()
    assert (first.committed_gpus[:steps] == second.committed_gpus[:steps]).all()


@pytest.mark.parametrize("name", ["best-static", "peak", "clairvoyant"])
def test_what_claims_hindsight_has_it(name: str) -> None:
    whole, market = jobs(3), MARKETS["elastic"]
    later = Workload.of(whole.submit_s, np.where(whole.end_s > 80_000, 90.0, whole.duration_s), whole.gpus)
    assert (
        POLICIES[name].choose(whole, market).cluster_gpus[:260]
        != POLICIES[name].choose(later, market).cluster_gpus[:260]
    ).any()


@pytest.mark.parametrize("market", MARKETS.values(), ids=MARKETS)
@pytest.mark.parametrize("seed", range(3))
def test_all_are_allowed_and_none_beats_hindsight(market: Market, seed: int) -> None:
    found = compare(jobs(seed), market, list(POLICIES))
    for outcome in found.outcomes:
        fluid.check(found.demand, market, outcome.targets)
        assert outcome.cost.total >= found.optimum * (1 - 1e-9)
    assert [outcome.policy.hindsight for outcome in found.outcomes] == sorted(
        o.policy.hindsight for o in found.outcomes
    )


def test_ski_rental_costs_at_most_twice_the_optimum_of_each_spell() -> None:
    """Its guarantee, on the input that is worst for it: demand that ends just after it was bought for."""
    market = Market(boot=6, warmup=0)
    level = np.tile([1.0] * 5 + [0.0] * 20, 50)
    series = Demand(step_s=STEP, gpus=level)
    found = compare(series, market, ["ski-rental", "all-serverless"])
    rent = next(o for o in found.outcomes if o.policy.name == "all-serverless").cost.total
    assert next(o for o in found.outcomes if o.policy.name == "ski-rental").cost.total <= 2 * rent + 1


def test_too_short_a_trace_is_refused_with_what_is_needed() -> None:
    with pytest.raises(InvalidInput, match="the first 14 are history"):
        compare(jobs(1), SCENARIOS["elastic"], ["broker"])


@given(st.integers(0, 100))
@settings(max_examples=10)
def test_resampling_keeps_weeks_whole_and_is_repeatable(seed: int) -> None:
    whole = jobs(5, days=28.0, count=400)
    first, second = resampled(whole, seed), resampled(whole, seed)
    assert isinstance(first, Workload) and isinstance(second, Workload)
    assert (first.submit_s == second.submit_s).all()
    assert (np.diff(first.submit_s) >= 0).all()
    within = set(np.round(whole.submit_s % (7 * 86_400.0), 3))
    assert set(np.round(first.submit_s % (7 * 86_400.0), 3)) <= within
    assert set(first.duration_s) <= set(whole.duration_s)


def test_an_interval_holds_what_resampled_histories_gave() -> None:
    history, market = demand(jobs(5, days=28.0, count=900), STEP), Market(warmup=288)
    names = ["broker", "all-serverless"]
    bands = intervals(history, market, names, 5)
    ratios = []
    for seed in range(5):
        found = compare(resampled(history, seed), market, names)
        ratios.append(next(found.ratio(o) for o in found.outcomes if o.policy.name == "broker"))
    assert min(ratios) <= bands["broker"][0] <= bands["broker"][1] <= max(ratios)
