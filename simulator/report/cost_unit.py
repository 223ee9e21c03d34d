"""The unit of a report's costs: GPU-hours of the on-demand cluster, or dollars where one has a price."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How amounts, which are computed in GPU-hours of the on-demand cluster, are displayed."""

    usd: float | None = None  # dollars of a GPU-hour of the on-demand cluster; None: display GPU-hours

    def value(self, amount: float) -> float:
        """An amount in the unit."""
        return amount * (1.0 if self.usd is None else self.usd)

    def text(self, amount: float) -> str:
        """An amount for people."""
        return f"{amount:,.0f} GPU-hours" if self.usd is None else f"${self.value(amount):,.0f}"

    def short(self, amount: float) -> str:
        """An amount for a table column whose header names the unit."""
        return f"{self.value(amount):,.0f}"

    @property
    def axis(self) -> str:
        """The unit as the label of a chart's axis."""
        return "GPU-hours" if self.usd is None else "US dollars"

    @property
    def name(self) -> str:
        """The unit in full, for prose."""
        return "cluster GPU-hours" if self.usd is None else f"US dollars, at ${self.usd:g} a cluster GPU-hour"
