"""Targets depend on the past alone, are what their market allows, and near to hindsight where the past tells enough."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import targets
from broker.decide.demand import Demand, demand
from broker.decide.market import SCENARIOS, Market
from broker.decide.workload import Workload

SHORT = {
    "elastic": Market(warmup=0),
    "nodes": Market(node=8, boot=3, warmup=0),
    "periods": Market(boot=0, resize_every=24, warmup=0),
    "windows": Market(commit=0.6, commit_window=96, warmup=0),
}
STEP = 300.0


def _jobs(seed: int, count: int = 150) -> Workload:
    """Jobs of all lengths over two days; some submitted together."""
    rng = np.random.default_rng(seed)
    submit = np.sort(rng.uniform(0, 2 * 86_400.0, count).round(-2))
    duration = np.exp(rng.normal(8.0, 2.0, count)) + 1.0
    return Workload.of(submit, duration, rng.choice([1, 1, 2, 8], count), user=[f"u{n % 5}" for n in range(count)])


@pytest.mark.parametrize("market", SHORT.values(), ids=SHORT)
@given(seed=st.integers(0, 1_000), cut=st.integers(1, 560), stretch=st.floats(0.0, 3.0))
@settings(max_examples=25)
def test_nothing_decided_before_depends_on_what_came_later(market: Market, seed: int, cut: int, stretch: float) -> None:
    whole = _jobs(seed)
    now = cut * STEP
    rng = np.random.default_rng(seed + 1)
    seen = whole.take(whole.submit_s < now)
    running = seen.end_s > now
    left = (seen.end_s - now) * rng.uniform(0.0, stretch, len(seen)) + 1e-3
    other = Workload.of(
        seen.submit_s,
        np.where(running, now - seen.submit_s + left, seen.duration_s),
        seen.gpus,
        user=[seen.user.names[code] for code in seen.user.codes],
    )
    first, second = targets(whole, market), targets(other, market)
    steps = min(cut + 1, len(first.cluster_gpus), len(second.cluster_gpus))
    assert (first.cluster_gpus[:steps] == second.cluster_gpus[:steps]).all()
    assert (first.committed_gpus[:steps] == second.committed_gpus[:steps]).all()


@pytest.mark.parametrize("market", SHORT.values(), ids=SHORT)
@given(seed=st.integers(0, 1_000), cut=st.integers(1, 560))
@settings(max_examples=15)
def test_a_series_is_not_read_ahead_either(market: Market, seed: int, cut: int) -> None:
    series = demand(_jobs(seed), STEP)
    changed = series.gpus.copy()
    changed[cut:] = np.random.default_rng(seed).uniform(0, 30, max(len(changed) - cut, 0))
    first, second = targets(series, market), targets(Demand(step_s=STEP, gpus=changed), market)
    assert (first.cluster_gpus[: cut + 1] == second.cluster_gpus[: cut + 1]).all()
    assert (first.committed_gpus[: cut + 1] == second.committed_gpus[: cut + 1]).all()


@pytest.mark.parametrize("market", SHORT.values(), ids=SHORT)
@given(seed=st.integers(0, 1_000), cut=st.integers(1, 560))
@settings(max_examples=15)
def test_a_live_decision_is_that_of_a_replay(market: Market, seed: int, cut: int) -> None:
    """What the broker decides at a time, knowing the jobs until then, is what the simulation decides for that step."""
    whole = _jobs(seed)
    replay = targets(whole, market)
    live = targets(whole.known_at(cut * STEP), market, until_s=cut * STEP)
    assert len(live.cluster_gpus) == cut + 1
    if cut < len(replay.cluster_gpus):
        assert live.cluster_gpus[-1] == replay.cluster_gpus[cut]
        assert live.committed_gpus[-1] == replay.committed_gpus[cut]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_constant_demand_costs_what_hindsight_would_have_paid(scenario: str) -> None:
    market, days = SCENARIOS[scenario], 60
    steady = Workload.of([0.0, days * 86_400.0], [1e9, 1.0], [24, 1])
    busy = demand(steady, market.step_s)
    paid = fluid.cost(busy, market, targets(steady, market)).total
    assert paid == pytest.approx(clairvoyant.optimum(busy, market), rel=0.02)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_bursts_of_seconds_are_left_to_serverless(scenario: str) -> None:
    market = SCENARIOS[scenario]
    submit = np.arange(0, 40 * 86_400.0, 4_000.0)
    bursts = Workload.of(submit, np.full(len(submit), 20.0), np.full(len(submit), 8))
    busy = demand(bursts, market.step_s)
    found = fluid.cost(busy, market, targets(bursts, market))
    assert found.serverless > 0.98 * found.total


def test_what_returns_daily_is_booted_for_in_time() -> None:
    """Requests that come every working day at nine: no rule that looks at the present alone is early enough."""
    market = SCENARIOS["slow-boot"]
    slots = np.arange(60 * 288)
    level = np.where((slots % 288 >= 108) & (slots % 288 < 132), 40.0, 0.0)
    series = Demand(step_s=300.0, gpus=level)
    paid = fluid.cost(series, market, targets(series, market)).total
    assert paid < 1.02 * clairvoyant.optimum(series, market)


@pytest.mark.parametrize("market", SHORT.values(), ids=SHORT)
def test_odd_histories_have_an_answer(market: Market) -> None:
    for history in (
        Workload.of([], [], []),
        Workload.of([0.0], [10.0], [1]),
        Workload.of(np.zeros(100_000), np.full(100_000, 60.0), np.ones(100_000)),
        Workload.of([0.0, 3e7], [60.0, 60.0], [1, 0.25]),
    ):
        found = targets(history, market)
        fluid.check(demand(history, STEP), market, found)
