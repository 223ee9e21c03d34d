"""A decision → whether the job is held: by a budget or a quota, but for which some pool might take it."""

from __future__ import annotations

from broker.decide import budgets, quotas
from broker.model.placement import Placement


def held(placement: Placement) -> bool:
    """Whether it is; such a job keeps nobody else from room."""
    return budgets.held(placement) or quotas.held(placement)
