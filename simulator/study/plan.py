"""Jobs and ways to buy → the cheapest mix, with its scenarios, prices at which it changes, and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from broker.decide.plan import Plan, Problem
from broker.model.offers import Offer
from simulator.planning.alternatives import alternatives
from simulator.planning.explanation import MONTH_H, advice, in_words
from simulator.planning.offers import cheapest, usd_per_gpu_hour, ways_of_document, ways_of_pools
from simulator.planning.problem import HOUR_S, problem_of
from simulator.planning.scenarios import by_class
from simulator.planning.solution import solution
from simulator.report import plan as drawn
from simulator.study.figures import titled
from simulator.study.workloads import TABLE
from simulator.traces.own_csv import history_of

Pools = Mapping[str, Any]


def market(gpu: str, region: str = "", prefix: str = "") -> dict[str, dict[str, Any]]:
    """For each way to buy a GPU the cheapest offer known today, as the `pools` of a file that `broker plan` reads.

    A dictionary to change and to give to `plan`. `region` takes only offers in regions whose names begin so; `prefix`
    begins the names, so that several markets fit in one. Raises `PriceMissing`.
    """
    today = datetime.now(UTC).date()
    found = cheapest(gpu, today, region)
    return {f"{prefix}{offer.tier.value}": _pool(offer, kind.value, term, today) for offer, kind, term in found}


def _pool(offer: Offer, kind: str, term_hours: float | None, today: date) -> dict[str, Any]:
    gpus = 1 if kind == "serverless" else max(int(offer.gpu_count), 1)
    made: dict[str, Any] = {
        "kind": "cluster" if kind == "held" else kind,
        "usd_per_hour": usd_per_gpu_hour(offer, today) * gpus,
        "gpus": gpus,
        "gpu": offer.gpu_model,
        "region": offer.region,
    }
    return made | ({"term": term_hours} if term_hours else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What to buy, what it costs, and how sure that is."""

    problem: Problem
    result: Plan
    turns: Mapping[str, float | None]  # dollars an hour up to which an offer is bought; empty: not looked into
    why: str  # demand is thought to be as it is
    unbound_usd: float | None = None  # what the cheapest mix costs without commitments; None: the plan makes none

    @property
    def words(self) -> str:
        """What to do and why."""
        return in_words(self.problem, self.result)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do, one thing at a time, and how sure that is."""
        return tuple(advice(self.problem, self.result, self.turns, self.unbound_usd))

    @property
    def usd_per_month(self) -> float:
        """Expected cost in dollars a month."""
        return self._monthly(self.result.cost_usd)

    def holdings(self) -> pd.DataFrame:
        """A row for each offer: its price, GPUs on average, how busy they are, GPU-hours and dollars a month."""
        rows = {
            name: {
                "kind": each.offer.kind.value,
                "usd_per_gpu_hour": each.offer.usd_per_gpu_hour,
                "gpus": each.gpu_hours / self.problem.hours,
                "busy_share": each.busy_share,
                "usd_per_month": self._monthly(each.cost_usd),
            }
            for name, each in self.result.holdings.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("offer")

    def alternatives(self) -> pd.Series:
        """Dollars a month of buying one way only, beside the plan."""
        costs = {"the plan": self.result.cost_usd, **alternatives(self.problem)}
        found = pd.Series({name: self._monthly(usd) for name, usd in costs.items()}, name="usd_per_month")
        return found.sort_values()

    def scenarios(self) -> pd.Series:
        """Dollars a month in each course that demand may take."""
        return pd.Series(self.result.scenario_usd, name="usd_per_month") * (MONTH_H / self.problem.hours)

    def bought_below(self) -> pd.DataFrame:
        """Of each offer its price, and the one up to which it is bought; NaN: at none; infinite: at any."""
        rows = {
            name: {"usd_per_gpu_hour": self.result.holdings[name].offer.usd_per_gpu_hour, "bought_below": below}
            for name, below in self.turns.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("offer")

    def costs(self) -> go.Figure:
        """The plan's cost by offer, beside one offer alone."""
        return titled(drawn.cost_chart(self.problem, self.result))

    def capacity(self) -> go.Figure:
        """What is bought over time, and what is needed."""
        return titled(drawn.capacity_chart(self.problem, self.result))

    def curve(self) -> go.Figure:
        """The load-duration curve, and which offer serves what."""
        return titled(drawn.curve_chart(self.result))

    def worth(self) -> go.Figure:
        """What one more GPU-hour of work would cost, over time."""
        return titled(drawn.worth_chart(self.result))

    def _monthly(self, usd: float) -> float:
        return usd * MONTH_H / self.problem.hours


def plan(
    jobs: pd.DataFrame,
    pools: Pools | str | Path,
    *,
    step_s: float = HOUR_S,
    days: float | None = None,
    courses: int = 12,
    whole_nodes: bool = False,
    budget_usd: float | None = None,
    sensitivity: bool = True,
) -> Planned:
    """The cheapest mix, as `broker plan` finds it.

    `pools` is the file that it reads, or what would stand in it: `{"pools": market("H100")}`, and `classes`, `limits`.
    `days` plans for what may come in so many days, in so many `courses`; without, for what was. Raises `InvalidInput`,
    and `NoPlan` where the demand can't be met.
    """
    ways = ways_of_document(pools, "pools") if isinstance(pools, Mapping) else ways_of_pools(Path(pools))
    histories = by_class(history_of(jobs, TABLE, step_s), TABLE, ways.classes, ways.matches)
    problem, why = problem_of(
        histories, ways, step_s, days=days, courses=courses, whole_nodes=whole_nodes, budget_usd=budget_usd
    )
    found = solution(problem, sensitivity)
    return Planned(problem=problem, result=found.plan, turns=found.turns, why=why, unbound_usd=found.unbound_usd)
