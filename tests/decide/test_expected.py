"""What is forecast of a cluster counts in placements: a run pays for the work that it keeps from nodes all wanted."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.pool_state import Expected
from broker.model.money import NS_PER_S, Money
from broker.model.resources import Gpu
from tests.decide.placing import NOW, cluster, decide, l4, node, serverless, spec, state

HOUR = 3_600 * NS_PER_S
RAY = state(cluster("ray"))
BURST = state(serverless("burst"))
SMALL = state(serverless("small", "0.36", node(gpus=1, model="T4")))
EITHER = spec(l4(), Gpu(model="T4", count=1), est_runtime_s=100.0)


def full(*chances: float, at_ns: int = NOW) -> Expected:
    """Work of a node of two L4 costs what two containers do."""
    return Expected(at_ns=at_ns, step_s=3_600.0, full=chances, usd_per_unit_hour=Decimal("7.20"))


def test_a_job_that_could_run_cheaply_elsewhere_leaves_a_wanted_node_to_others() -> None:
    idle = decide(EITHER, RAY, SMALL, BURST)
    wanted = decide(EITHER, replace(RAY, expected=full(1.0)), SMALL, BURST)
    assert (idle.chosen.pool, wanted.chosen.pool) == ("ray", "small")  # type: ignore[union-attr]
    assert "ray would add about $0.10" in wanted.reason
    assert ", all of it for work that it keeps from there" in wanted.reason
    assert "expected to be wanted 100% of that time" in wanted.reason


def test_a_job_whose_other_place_is_as_dear_takes_the_node() -> None:
    placed = decide(spec(l4()), replace(RAY, expected=full(1.0)), BURST)
    assert placed.chosen is not None and placed.chosen.pool == "ray"
    assert placed.chosen.marginal == Money.of_usd("0.01")
    assert ", all of it for work that it keeps from there: all nodes are expected" in placed.reason


def test_what_is_held_back_is_no_cost_of_the_job() -> None:
    placed = decide(spec(l4(), max_cost_usd=Decimal("0.003")), replace(RAY, expected=full(1.0)))
    assert placed.chosen is not None and placed.chosen.full == Money.of_usd("0.001388889")


@pytest.mark.parametrize("expected", [None, full(0.0), full(1.0, at_ns=NOW - 2 * HOUR)])
def test_without_a_forecast_or_with_room_nothing_is_held_back(expected: Expected | None) -> None:
    placed = decide(EITHER, replace(RAY, expected=expected), SMALL, BURST)
    assert placed.chosen is not None and placed.chosen.pool == "ray"
    assert placed.chosen.marginal == Money(0)


@given(
    chances=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5),
    ago_s=st.integers(0, 20_000),
    duration_s=st.floats(0.0, 30_000.0),
)
def test_the_wanted_seconds_are_those_of_each_hour_by_its_chance(
    chances: list[float], ago_s: int, duration_s: float
) -> None:
    found = full(*chances, at_ns=NOW - ago_s * NS_PER_S).full_s(NOW, duration_s)
    slow = sum(chances[int(t // 3_600)] for t in range(ago_s, ago_s + int(duration_s)) if t // 3_600 < len(chances))
    assert found == pytest.approx(slow, abs=1.01)
