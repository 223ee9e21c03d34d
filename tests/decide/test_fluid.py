"""The fluid model charges what the referee charges, and refuses what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import targets
from broker.decide.demand import Demand, demand
from broker.decide.market import SCENARIOS, Market, Targets
from tests.simulator.refereeing import needs_referee, recorded, referee

steps = st.lists(st.tuples(st.floats(0.0, 40.0, allow_subnormal=False), st.integers(0, 40)), min_size=2, max_size=60)


def _theirs(market: Market):  # type: ignore[no-untyped-def]
    fields = ("step_s", "cluster", "serverless", "boot", "node", "resize_every", "commit", "commit_window", "warmup")
    return referee().Scenario(**{name: getattr(market, name) for name in fields})


@needs_referee
@given(steps, st.integers(0, 4), st.integers(0, 3), st.integers(0, 5))
def test_any_targets_cost_what_the_referee_says(
    rows: list[tuple[float, int]], boot: int, warmup: int, held: int
) -> None:
    busy, wanted = (np.array(column, float) for column in zip(*rows, strict=True))
    market = Market(boot=boot, warmup=warmup, commit=0.6, commit_window=len(busy))
    committed = np.full(len(busy), float(held))
    wanted *= np.random.default_rng(held).integers(0, 2, len(wanted))
    if busy[warmup:].sum() == 0:
        return
    ours = fluid.cost(Demand(step_s=300.0, gpus=busy), market, Targets(cluster_gpus=wanted, committed_gpus=committed))
    theirs = referee().score(busy, _theirs(market), wanted, committed)
    assert ours.total == pytest.approx(theirs["cost"], rel=1e-9)
    assert ours.serverless_gpu_hours == pytest.approx(theirs["serverless_gpu_hours"], abs=1e-9)


@needs_referee
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", ["philly-6c71a0", "msitp-09"])
def test_on_recorded_workloads_too(name: str, scenario: str) -> None:
    history, market = recorded(name), SCENARIOS[scenario]
    busy = history if isinstance(history, Demand) else demand(history, market.step_s)
    wanted = targets(history, market)
    ours, best = fluid.cost(busy, market, wanted).total, clairvoyant.optimum(busy, market)
    theirs = referee().score(busy.gpus, referee().SCENARIOS[scenario], wanted.cluster_gpus, wanted.committed_gpus)
    assert ours == pytest.approx(theirs["cost"], rel=1e-9)
    assert best == pytest.approx(theirs["optimum"], rel=1e-9)


@given(steps, st.integers(0, 3))
def test_each_gpu_of_demand_is_on_one_of_the_three(rows: list[tuple[float, int]], boot: int) -> None:
    busy, wanted = (np.array(column, float) for column in zip(*rows, strict=True))
    found = fluid.cost(
        Demand(step_s=300.0, gpus=busy),
        Market(boot=boot, warmup=0),
        Targets(cluster_gpus=wanted, committed_gpus=np.zeros(len(busy))),
    )
    assert found.spilled == pytest.approx(np.maximum(busy - found.usable, 0.0))
    assert found.total == pytest.approx(found.cluster + found.committed + found.serverless)
    assert (found.usable <= wanted + 1e-9).all()


MARKET = Market(node=8, resize_every=2, warmup=0)
FIRM = Market(commit=0.6, commit_window=2, warmup=0)


@pytest.mark.parametrize(
    ("market", "cluster", "committed", "said"),
    [
        (MARKET, [8, 8, 8], [0, 0, 0, 0], "cluster_gpus has 3 steps, the demand has 4"),
        (MARKET, [8, 8, 12, 12], [0, 0, 0, 0], "cluster_gpus of step 2 is no whole number of nodes of 8"),
        (MARKET, [8, 16, 16, 16], [0, 0, 0, 0], "cluster_gpus changes at step 1, it may only every 2"),
        (MARKET, [8, 8, 8, 8], [1, 1, 1, 1], "offers no commitments"),
        (FIRM, [1, 1, 1, -1], [0, 0, 0, 0], "cluster_gpus of step 3 is -1"),
        (FIRM, [1, 1, 1, 1], [0, np.nan, 0, 0], "committed_gpus of step 1 is nan"),
        (FIRM, [1, 1, 1, 1], [0, 1, 1, 1], "committed_gpus changes at step 1"),
    ],
)
def test_what_the_market_does_not_allow_is_named(
    market: Market, cluster: list[float], committed: list[float], said: str
) -> None:
    given_targets = Targets(cluster_gpus=np.array(cluster, float), committed_gpus=np.array(committed, float))
    with pytest.raises(ValueError, match=said):
        fluid.cost(Demand(step_s=300.0, gpus=np.ones(4)), market, given_targets)


@given(steps, st.integers(0, 3), st.sampled_from([1, 4]))
def test_no_targets_cost_less_than_the_optimum(rows: list[tuple[float, int]], boot: int, node: int) -> None:
    busy, wanted = (np.array(column, float) for column in zip(*rows, strict=True))
    market, history = Market(boot=boot, node=node, warmup=0), Demand(step_s=300.0, gpus=busy)
    wanted = np.round(wanted / node) * node
    least = clairvoyant.optimum(history, market)
    tried = fluid.cost(history, market, Targets(cluster_gpus=wanted, committed_gpus=np.zeros(len(busy)))).total
    reached = fluid.cost(history, market, clairvoyant.best(history, market)).total
    assert least <= tried + 1e-9
    assert least <= reached + 1e-9
    headless = replace(market, warmup=min(boot, len(busy)))
    assert clairvoyant.optimum(history, headless) <= least + 1e-9


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 2))
def test_the_optimum_is_that_of_all_targets_tried(levels: list[int], boot: int) -> None:
    """With room before the first busy step, so that what is up as counting begins can have been booted."""
    busy = np.array([0.0] * boot + levels, float)
    market, history = Market(boot=boot, warmup=boot), Demand(step_s=300.0, gpus=busy)
    none = np.zeros(len(busy))
    # Levels decide for themselves, so trying each alone on its slice of the demand tries all.
    least = 0.0
    for height in range(int(busy.max(initial=0))):
        part = Demand(step_s=300.0, gpus=np.clip(busy - height, 0.0, 1.0))
        tried = []
        for mask in range(1 << len(busy)):
            wanted = np.array([(mask >> t) & 1 for t in range(len(busy))], float)
            tried.append(fluid.cost(part, market, Targets(cluster_gpus=wanted, committed_gpus=none)).total)
        least += min(tried)
    assert clairvoyant.optimum(history, market) == pytest.approx(least)
