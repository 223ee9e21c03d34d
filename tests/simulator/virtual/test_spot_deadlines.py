"""Jobs with a deadline on spot nodes that come and go as they like."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.spot import SpotRule
from simulator.jobs.terms import Spot
from simulator.virtual.spot_deadlines import Case, played

UNIFORM = SpotRule.UNIFORM_PROGRESS


def levels(*spans_s: float, first: int = 1) -> Spot:
    """A node that is there, and is not, in turn."""
    ends = np.cumsum(spans_s)
    nodes = (np.arange(len(spans_s)) + (1 - first)) % 2 == 0
    return Spot(time_s=ends - np.array(spans_s), nodes=nodes.astype(np.int64), period_s=float(ends[-1]))


@settings(max_examples=40, deadline=None)
@given(
    spans_s=st.lists(st.floats(60, 40_000), min_size=1, max_size=20),
    first=st.integers(0, 1),
    slack=st.floats(1.0, 3.0),
    checkpoint_s=st.floats(60, 7_200),
    boot_s=st.floats(0, 900),
)
def test_a_deadline_that_on_demand_keeps_is_kept_whatever_spot_does(
    spans_s: list[float], first: int, slack: float, checkpoint_s: float, boot_s: float
) -> None:
    there = levels(*spans_s, 100_000.0, first=first)
    case = Case(hours=4.0, slack=slack + (boot_s + 60) / (4 * 3_600), checkpoint_s=checkpoint_s, boot_s=boot_s, most=2)
    assert played(there, case, "on_demand").late == 0
    assert played(there, case, UNIFORM).late == 0


def test_spot_that_is_always_there_is_used_alone() -> None:
    case = Case(most=3)
    assert played(levels(1_000_000.0), case, UNIFORM).cost < case.spot + 0.01


def test_it_waits_for_spot_while_it_is_ahead_and_comes_back_to_it() -> None:
    """Two hours of spot, one without: there is time to wait for each return of it."""
    case = Case(hours=8.0, slack=2.0, most=1)
    there = levels(*[7_200.0, 3_600.0] * 20)
    assert played(there, case, UNIFORM).cost < 0.5
    assert played(there, case, SpotRule.CHEAPEST).cost > 0.6
    begins_without = levels(*[3_600.0, 36_000.0] * 5, first=0)
    assert played(begins_without, case, UNIFORM).cost < 0.55
    assert played(begins_without, case, SpotRule.CHEAPEST).cost > 0.9
