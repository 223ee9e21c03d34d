"""What each of several experts would have paid so far → how much to trust each of them now."""

from __future__ import annotations

import numpy as np

from broker.decide.workload import Floats

MEMORY = 0.97  # what a loss counts after one more round
RATE = 8.0  # how fast trust falls with relative loss
SHARE = 0.2  # of the prior that is kept whatever has been lost: the world may turn


def trust(prior: Floats, losses: Floats) -> Floats:
    """Weights of sum 1 for the next round, from losses by (round, expert) so far, oldest first.

    Exponential weights on discounted losses relative to the best expert's, mixed with the prior (Herbster and Warmuth,
    Tracking the best expert, 1998; Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006, section 2.11).
    """
    if not len(losses):
        return np.asarray(prior / prior.sum())
    total = MEMORY ** np.arange(len(losses))[::-1] @ losses
    best = max(total.min(), total.max() * 1e-9)  # an expert that has lost nothing is trusted, not infinitely
    weights = prior * np.exp(-RATE * (total / best - 1)) if best > 0 else prior
    weights = weights / weights.sum()
    kept: Floats = (1 - SHARE) * weights + SHARE * prior / prior.sum()
    return kept
