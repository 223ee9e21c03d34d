"""The size that is worth holding is the one that costs least over all that may come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.capacity.newsvendor import busy_shares, worth_holding

loads = st.lists(st.lists(st.floats(-20.0, 60.0), min_size=3, max_size=3), min_size=1, max_size=6).map(np.array)


@given(loads, loads, st.sampled_from([1, 4]), st.data())
def test_busy_shares_are_those_of_every_pair(
    stay: np.ndarray, cases: np.ndarray, node: int, data: st.DataObject
) -> None:
    weights = np.array(data.draw(st.lists(st.floats(0.1, 5.0), min_size=len(cases), max_size=len(cases))))
    found = busy_shares(np.maximum(stay, 0.0), cases, weights, node)
    all_loads = np.maximum(np.maximum(stay, 0.0)[None] + cases[:, None], 0.0)
    for k, share in enumerate(found):
        busy = np.clip(all_loads / node - k, 0.0, 1.0).mean((1, 2))
        assert share == pytest.approx(busy @ weights / weights.sum(), abs=1e-9)
    assert all_loads.max() <= node * len(found)


@given(loads, st.sampled_from([1, 4]), st.floats(0.2, 0.9))
def test_no_other_size_costs_less(cases: np.ndarray, node: int, breakeven: float) -> None:
    shares = busy_shares(np.zeros((1, 3)), cases, np.ones(len(cases)), node)
    held = worth_holding(shares, breakeven, node)
    cost = lambda size: breakeven * size + np.maximum(np.maximum(cases, 0.0) - size, 0.0).mean()  # noqa: E731
    assert cost(held) <= min(cost(size) for size in np.arange(0, 80, node)) + 1e-9
