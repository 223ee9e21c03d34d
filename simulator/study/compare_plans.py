"""Plans by name → what each costs and buys, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from broker.decide.plan import Kind
from simulator.report.costs import Bar, costs
from simulator.report.style import CLUSTER, COMMITTED, SERVERLESS
from simulator.study.figures import titled
from simulator.study.plan import Planned

COLOURS = {Kind.COMMITTED.value: COMMITTED, Kind.HELD.value: CLUSTER, Kind.SERVERLESS.value: SERVERLESS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Plans against the first of them."""

    plans: Mapping[str, Planned]

    def table(self) -> pd.DataFrame:
        """By plan: dollars a month, the change against the first, and GPUs on average by kind of offer."""
        rows = {}
        for name, plan in self.plans.items():
            gpus = plan.holdings().groupby("kind")["gpus"].sum()
            rows[name] = {"usd_per_month": plan.usd_per_month, **{kind: gpus.get(kind, 0.0) for kind in COLOURS}}
        found = pd.DataFrame.from_dict(rows, orient="index")
        first = found["usd_per_month"].iloc[0]
        found.insert(1, "change", found["usd_per_month"] / first - 1 if first else float("nan"))
        return found

    def figure(self) -> go.Figure:
        """Dollars a month by kind of offer."""
        table = self.table()
        bars = [
            Bar(
                title=name,
                parts=plan.holdings().groupby("kind")["usd_per_month"].sum().to_dict(),
                label=f"{change:+.0%}",
            )
            for (name, plan), change in zip(self.plans.items(), table["change"], strict=True)
        ]
        least, most = table["usd_per_month"].min(), table["usd_per_month"].max()
        says = f"From ${least:,.0f} to ${most:,.0f} a month; beside the bars, the change against “{table.index[0]}”."
        return titled(costs(bars, COLOURS, unit="dollars a month", says=says, floor=None))


def compare_plans(plans: Mapping[str, Planned]) -> Compared:
    """Plans side by side; the first is what the others are held against. Raises ValueError where there is none."""
    if not plans:
        raise ValueError("there is no plan to compare")
    return Compared(plans=dict(plans))
