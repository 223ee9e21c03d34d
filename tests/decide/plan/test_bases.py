"""The programme of a slice, solved for many right-hand sides by few bases, against a solver for each."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from broker.decide.plan.bases import SliceProgramme

CLASSES, OFFERS = 2, 3


def _programme(rng: np.random.Generator) -> SliceProgramme:
    """Two classes that share three limited offers at speeds of their own; what is left undone is dear."""
    uses = OFFERS * CLASSES
    matrix = np.zeros((OFFERS + CLASSES, uses + CLASSES))
    for offer in range(OFFERS):
        for work in range(CLASSES):
            matrix[offer, offer * CLASSES + work] = 1.0
            matrix[OFFERS + work, offer * CLASSES + work] = rng.choice([0.5, 1.0, 1.5])
    matrix[OFFERS:, uses:] = np.eye(CLASSES)
    cost = np.concatenate([np.repeat(rng.uniform(0, 5, OFFERS), CLASSES), np.full(CLASSES, 50.0)])
    return SliceProgramme(cost, matrix, np.arange(OFFERS + CLASSES) < OFFERS)


def _least(programme: SliceProgramme, right: np.ndarray) -> float:
    sign = np.where(programme.at_most, 1.0, -1.0)
    return float(linprog(programme.cost, A_ub=sign[:, None] * programme.matrix, b_ub=sign * right).fun)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_each_slice_costs_what_a_solver_says_also_where_the_bases_known_before_do_not_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    programme = _programme(rng)
    for largest in (1.0, 4.0, 16.0):
        right = rng.uniform(0, largest, (OFFERS + CLASSES, 8))
        values, cost, duals = programme.optima(right)
        np.testing.assert_allclose(cost, [_least(programme, each) for each in right.T], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(programme.cost @ values, cost, rtol=1e-9, atol=1e-9)
        sign = np.where(programme.at_most, 1.0, -1.0)[:, None]
        assert (sign * (programme.matrix @ values - right) <= 1e-7).all()
        assert len(duals) == 8
