"""The unit of a report's costs: GPU-hours of the on-demand cluster, or dollars where one has a price."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How amounts are told."""

    usd: float | None = None  # of a GPU-hour of the on-demand cluster; None: costs are told in these

    def value(self, amount: float) -> float:
        """An amount in the unit."""
        return amount * (1.0 if self.usd is None else self.usd)

    def text(self, amount: float) -> str:
        """An amount for people."""
        return f"{amount:,.0f} GPU-hours" if self.usd is None else f"${self.value(amount):,.0f}"

    def short(self, amount: float) -> str:
        """An amount under a head that names the unit."""
        return f"{self.value(amount):,.0f}"

    @property
    def axis(self) -> str:
        """The same, beside an axis."""
        return "GPU-hours" if self.usd is None else "US dollars"

    @property
    def name(self) -> str:
        """What amounts are in."""
        return "cluster GPU-hours" if self.usd is None else f"US dollars, at ${self.usd:g} a cluster GPU-hour"
