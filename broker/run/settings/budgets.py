"""A budget as people write it, in the configuration or to the API → the budget."""

from __future__ import annotations

from broker.model.budgets import Action, Budget, Period
from broker.model.money import Money
from broker.run.settings.document import BudgetPart


def budget_of(name: str, part: BudgetPart, *, configured: bool) -> Budget:
    """The budget that is meant; one of the configuration can't be changed otherwise."""
    return Budget(
        name=name,
        limit=Money.of_usd(part.limit),
        period=Period(part.period),
        action=Action(part.action),
        user=part.user,
        pool=part.pool,
        project=part.project,
        tag=part.tag,
        stop_running=part.stop_running,
        configured=configured,
    )
