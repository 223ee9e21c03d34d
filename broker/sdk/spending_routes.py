"""The part of the client that is about money: what was spent, and budgets."""

from __future__ import annotations

from typing import Any

from broker.sdk.events import Json
from broker.sdk.job_requests import without_none
from broker.sdk.routes import Routes, path_of


class SpendingRoutes(Routes):
    """Spending and budgets."""

    def spend(self, **wanted: Any) -> Json:
        """What was spent: `SpendView`. Takes period, since, until, by (a list), job, user, project, pool, tag."""
        return self._json("GET", "/v1/spend", params=without_none(wanted))

    def spend_csv(self, **wanted: Any) -> str:
        """What was spent, as `spend`, but as CSV text."""
        return self._send("GET", "/v1/spend", params=without_none({**wanted, "format": "csv"})).body.decode()

    def spend_focus(self, **wanted: Any) -> tuple[str, int]:
        """The charges behind it as CSV of the FOCUS specification, and how many of unknown cost are not in it."""
        answer = self._send("GET", "/v1/spend", params=without_none({**wanted, "format": "focus"}))
        return answer.body.decode(), int(answer.headers.get("x-unknown-charges", "0"))

    def budgets(self) -> list[Json]:
        """All budgets by name, and how they stand: `BudgetView`s."""
        return list(self._json("GET", "/v1/budgets")["budgets"])

    def budget(self, name: str) -> Json:
        """One budget: `BudgetView`."""
        return self._json("GET", path_of("budgets", name))

    def set_budget(self, name: str, **wish: Any) -> Json:
        """Makes or replaces a budget: limit, period, action, user, pool, project, tag (KEY=VALUE), stop_running."""
        return self._json("PUT", path_of("budgets", name), body=without_none(wish))

    def remove_budget(self, name: str) -> None:
        """Removes a budget."""
        self._send("DELETE", path_of("budgets", name))
