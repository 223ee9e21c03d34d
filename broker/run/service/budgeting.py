"""Budgets as people ask about them: how they stand, set and removed."""

from __future__ import annotations

from broker.model.budgets import Budget, Standing
from broker.model.errors import InvalidInput, Problem
from broker.run.broker import Broker
from broker.run.service.settling import Settling

_FRESH_S = 5.0


class Budgeting:
    """Reads and changes budgets."""

    def __init__(self, broker: Broker, settling: Settling) -> None:
        self._broker = broker
        self._settling = settling

    async def standings(self, name: str | None = None) -> tuple[Standing, ...]:
        """How all budgets stand, by name, or one of them. Raises `UnknownName`."""
        await self._settling.within(_FRESH_S)
        return await self._broker.budgets.standings(name)

    async def set(self, budget: Budget) -> Standing:
        """Makes or replaces a budget, and says how it stands. Raises `Conflict` for one of the configuration."""
        if budget.pool is not None and budget.pool not in self._broker.pools:
            known = ", ".join(self._broker.pools) or "none"
            raise InvalidInput(Problem(field="pool", message=f"there is no pool {budget.pool!r}; there are: {known}"))
        await self._broker.budgets.keep(budget)
        return (await self.standings(budget.name))[0]

    async def remove(self, name: str) -> None:
        """Removes a budget. Raises `UnknownName`, and `Conflict` for one of the configuration."""
        await self._broker.budgets.drop(name)
