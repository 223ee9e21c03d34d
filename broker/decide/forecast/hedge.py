"""What each of several experts would have paid so far → how much to trust each of them now."""

from __future__ import annotations

import numpy as np

from broker.decide.workload import Floats

MEMORY = 0.97  # what a loss counts after one more round
SHARE = 0.2  # of the prior that is kept whatever has been lost: the world may turn


def trust(prior: Floats, losses: Floats) -> Floats:
    """Weights of sum 1 for the next round, from losses by (round, expert) so far, oldest first.

    Exponential weights on what each has lost beyond the best so far, discounted, and mixed with the prior (Herbster
    and Warmuth, Tracking the best expert, 1998; Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006,
    section 2.11). How fast trust falls is not set: for each expert it is the rate at which a bound of second order is
    sharpest, the sum of what it lost beyond the best over the sum of its squares (Koolen and van Erven, Second-order
    quantile methods, 2015). So a little lost again and again tells as much as a test would make of it, and one bad
    day, however bad, tells little.
    """
    if not len(losses):
        return np.asarray(prior / prior.sum())
    counts = MEMORY ** np.arange(len(losses))[::-1]
    behind = losses - losses[:, [int((counts @ losses).argmin())]]
    lost, squares = counts @ behind, counts @ behind**2
    evidence = np.divide(lost**2, 2 * squares, out=np.zeros_like(lost), where=squares > 0)
    weights = prior * np.exp(-evidence)
    kept: Floats = (1 - SHARE) * weights / weights.sum() + SHARE * prior / prior.sum()
    return kept
