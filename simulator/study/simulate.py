"""Jobs and policies → what each would have cost, and how far it is from the best that could have been done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from broker.decide.capacity import History
from broker.decide.market import SCENARIOS
from broker.model.errors import InvalidInput
from simulator.compare import Comparison, compare
from simulator.comparison_output import in_words, spilled_share, terms
from simulator.names import known_names
from simulator.policies import DEFAULT, POLICIES
from simulator.report import simulation as drawn
from simulator.report.cost_unit import Unit
from simulator.report.simulation import MONTH_H, counted_hours
from simulator.sensitivity import sensitivity
from simulator.study.figures import titled
from simulator.study.workloads import TABLE
from simulator.traces.own_csv import history_of

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Policies side by side; the first `history_days` are seen by them, and their cost does not count."""

    result: Comparison
    history: History
    unit: Unit

    @property
    def words(self) -> str:
        """What follows from it, in one sentence."""
        return in_words(self.result)

    @property
    def terms(self) -> str:
        """The market, in words."""
        return terms(self.result)

    def table(self) -> pd.DataFrame:
        """By policy: cost a month, its parts, regret (cost over the least possible), share of work on serverless."""
        months = counted_hours(self.result) / MONTH_H
        rows = {
            each.policy.name: {
                "policy": each.policy.title,
                "per_month": self.unit.value(each.cost.total) / months,
                **{part: self.unit.value(getattr(each.cost, part)) / months for part in drawn.COLOURS},
                "regret": self.result.ratio(each),
                "on_serverless": spilled_share(self.result, each),
                "hindsight": each.policy.hindsight,
            }
            for each in self.result.outcomes
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def costs(self) -> go.Figure:
        """Cost by policy, with the least possible."""
        return titled(drawn.cost_chart(self.result, self.unit))

    def capacity(self, policy: str = "broker") -> go.Figure:
        """Demand, and what a policy held. Raises `UnknownName` for one that was not played."""
        (name,) = known_names([policy], [each.policy.name for each in self.result.outcomes], "policy played")
        outcome = next(each for each in self.result.outcomes if each.policy.name == name)
        return titled(drawn.capacity_chart(self.result, outcome))

    def other_prices(self) -> go.Figure:
        """Cost over the least possible if serverless were cheaper or dearer; each policy decides anew."""
        return titled(drawn.sensitive_chart(self.result, sensitivity(self.history, self.result.market)))


def simulate(
    jobs: pd.DataFrame,
    scenario: str = "elastic",
    policies: Iterable[str] = DEFAULT,
    *,
    held_usd: float | None = None,
    serverless_usd: float | None = None,
    history_days: float = 14.0,
) -> Simulated:
    """Plays policies, as `broker simulate` does.

    `scenario` is one of its own; prices are relative to the cluster's, or in dollars for an hour of a GPU. Raises
    `UnknownName`, and `InvalidInput` where nothing is left after the history or one price comes without the other.
    """
    (name,) = known_names([scenario], SCENARIOS, "scenario")
    market = SCENARIOS[name]
    market = replace(market, warmup=round(history_days * DAY_S / market.step_s))
    if (held_usd is None) != (serverless_usd is None):
        raise InvalidInput("held_usd and serverless_usd are needed together: policies weigh one against the other")
    if held_usd is not None and serverless_usd is not None:
        market = replace(market, serverless=market.cluster * serverless_usd / held_usd)
    history = history_of(jobs, TABLE, market.step_s)
    found = compare(history, market, known_names(policies, POLICIES, "policy"))
    return Simulated(result=found, history=history, unit=Unit(usd=held_usd))
