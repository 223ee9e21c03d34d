"""Wishes for each step → targets that a market allows: whole nodes, changed only where a period begins."""

from __future__ import annotations

import numpy as np

from broker.decide.market import Market, Targets
from broker.decide.workload import Floats


def allowed(gpus: Floats, market: Market) -> Targets:
    """What comes nearest: nodes are rounded up, and a period has what was wished for as it began."""
    whole = np.ceil(np.maximum(gpus, 0.0) / market.node - 1e-9) * market.node
    begun = np.arange(len(whole)) // market.resize_every * market.resize_every
    return Targets(cluster_gpus=whole[begun], committed_gpus=np.zeros(len(whole)))
