"""A plan → the report of `broker plan`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from broker.decide.plan import Kind, Plan, Problem
from broker.decide.plan.sensitivity import in_parts
from simulator.planning.alternatives import alternatives
from simulator.planning.explanation import advice, assumptions, figures, lead
from simulator.planning.output import OF_MODELS, document, of_models, of_offers
from simulator.planning.solution import Solution
from simulator.report.costs import Bar, costs
from simulator.report.document import Chart, Page, Section, Table
from simulator.report.style import CLUSTER, COMMITTED, INK, SERVERLESS, SPOT, drawn

OF_KIND = {Kind.COMMITTED: (COMMITTED, "#3f6f9f", "#6f97bf"), Kind.HELD: (CLUSTER, SPOT, "#8cc0a0")}
OF_SERVERLESS = (SERVERLESS, "#f0b27a", "#c9722b")
BY_KIND = {Kind.COMMITTED.value: COMMITTED, Kind.HELD.value: CLUSTER, Kind.SERVERLESS.value: SERVERLESS}
LITTLE = 1e-6


def page(trace: str, problem: Problem, found: Solution, prices_from: str, why: str) -> str:
    """The report as HTML."""
    plan = found.plan
    count = len(problem.scenarios)
    courses = f", {count} courses that demand may take" if count > 1 else ""
    return Page(
        title=f"What to buy for {trace}",
        subtitle=f"{problem.hours / 24:,.0f} days{courses}; {prices_from}",
        lead=lead(problem, plan),
        advice=tuple(advice(problem, plan, {}, found.unbound_usd)),  # where it turns has a table of its own
        figures=tuple(figures(problem, plan)),
        sections=tuple(_sections(problem, plan, found.turns, document(problem, found, why, prices_from))),
        assumptions=tuple(assumptions(problem, why)),
    ).html()


def _sections(
    problem: Problem, plan: Plan, turns: Mapping[str, float | None], told: Mapping[str, Any]
) -> Iterator[Section]:
    if models := of_models(told):
        yield Section(title="What is bought of each GPU model", parts=(Table(heads=OF_MODELS, rows=models),))
    heads, *offers = of_offers(told)
    yield Section(title="What is bought", parts=(cost_chart(problem, plan), Table(heads=heads, rows=offers)))
    yield Section(title="Capacity against demand", parts=(capacity_chart(problem, plan),))
    yield Section(title="The load-duration curve", parts=(curve_chart(plan),))
    yield Section(
        title="What a GPU-hour is worth",
        says="What one more GPU-hour of work would cost in each period: the dual of demand. Where it is near "
        "serverless's price, capacity is short; where it is near nothing, it is idle.",
        parts=(worth_chart(plan),),
    )
    if table := _turns(plan, turns):
        yield Section(
            title="At which prices an offer is bought",
            says="Up to these prices an offer is bought at all, while the others cost what they do"
            + (", if nodes came in parts." if in_parts(problem) else "."),
            parts=(table,),
        )


def _colours(plan: Plan) -> dict[str, str]:
    used: dict[Kind, int] = {}
    found = {}
    for name, each in plan.holdings.items():
        number = used.get(each.offer.kind, 0)
        used[each.offer.kind] = number + 1
        shades = OF_SERVERLESS if each.offer.kind is Kind.SERVERLESS else OF_KIND[each.offer.kind]
        found[name] = shades[number % len(shades)]
    return found


def cost_chart(problem: Problem, plan: Plan) -> Chart:
    """Cost by offer, beside one offer alone."""
    bars = [Bar(title="the plan", parts=dict(plan.cost_of), label=f"${plan.cost_usd:,.0f}")]
    for name, cost in sorted(alternatives(problem).items(), key=lambda item: item[1]):
        offer = name.removeprefix("all ").removesuffix(" for the peak")
        more = cost / plan.cost_usd - 1 if plan.cost_usd else 0.0
        bars.append(Bar(title=name, parts={offer: cost}, label=f"{more:+.0%}"))
    says = "What the plan costs, by offer, beside one way alone." if len(bars) > 1 else "What the plan costs, by offer."
    return costs(bars, BY_KIND | _colours(plan), unit="cost, US dollars", says=says, floor=plan.cost_usd)


def capacity_chart(problem: Problem, plan: Plan) -> Chart:
    """By period; what is bought stacked, with what is needed as a line."""
    begins = np.concatenate([[0.0], np.cumsum(plan.period_hours)[:-1]]) / 24
    figure, colours = go.Figure(), _colours(plan)
    for name, each in plan.holdings.items():
        if each.gpu_hours > LITTLE:
            line = {"width": 0, "shape": "hv", "color": colours[name]}
            figure.add_scatter(x=begins, y=each.gpus, name=name, stackgroup="bought", line=line)
    needed = plan.demand_gpus.sum(0)
    average = float(np.average(needed, weights=plan.period_hours))  # the last period may be short
    figure.add_scatter(x=begins, y=needed, name="needed", line={"color": INK, "width": 1.6, "shape": "hv"})
    says = (
        f"On average over each period; {average:,.1f} GPUs are needed on average, {needed.max():,.1f} in the "
        f"busiest period, {problem.demand.sum(1).max():,.0f} at most in a step."
    )
    return Chart(figure=drawn(figure, x="days", y="GPUs"), says=says)


def curve_chart(plan: Plan) -> Chart:
    """The load-duration curve, by the offer that serves it."""
    figure, colours, curve = go.Figure(), _colours(plan), plan.load_duration
    for name, gpus in curve.by_offer.items():
        if gpus.max(initial=0.0) > LITTLE:
            line = {"width": 0, "shape": "hv", "color": colours[name]}
            figure.add_scatter(x=curve.share, y=gpus, name=name, stackgroup="used", line=line)
    figure.add_scatter(x=curve.share, y=curve.gpus, name="needed", line={"color": INK, "width": 1.6})
    drawn(figure, x="share of the time, busiest first", y="GPUs at work")
    figure.update_xaxes(tickformat=".0%")
    half = float(np.interp(0.5, curve.share, curve.gpus))
    return Chart(figure=figure, says=f"Half of the time {half:,.1f} GPUs or more are needed; which offer serves them.")


def worth_chart(plan: Plan) -> Chart:
    """The dual of demand over time."""
    begins = np.concatenate([[0.0], np.cumsum(plan.period_hours)[:-1]]) / 24
    figure = go.Figure()
    for name, prices in zip(plan.classes, plan.gpu_hour_price, strict=True):
        figure.add_scatter(x=begins, y=prices, name=name, line={"shape": "hv", "width": 1.6})
    drawn(figure, x="days", y="$ a GPU-hour", height=280)
    figure.update_yaxes(rangemode="tozero")
    low, high = float(plan.gpu_hour_price.min()), float(plan.gpu_hour_price.max())
    return Chart(figure=figure, says=f"Between ${low:,.2f} and ${high:,.2f} a GPU-hour.")


def _turns(plan: Plan, turns: Mapping[str, float | None]) -> Table | None:
    lines = [
        (
            name,
            f"${plan.holdings[name].offer.usd_per_gpu_hour:,.4g}",
            "no price" if found is None else "any price" if math.isinf(found) else f"${found:,.4g}",
            _whole_usd(plan.holdings[name].next_gpu_usd),
        )
        for name, found in turns.items()
    ]
    heads = ("offer", "$/GPU-h", "bought below", "the next GPU is worth")
    return Table(heads=heads, rows=lines) if lines else None


def _whole_usd(amount: float) -> str:
    whole = round(amount)
    return f"{'−' if whole < 0 else ''}${abs(whole):,}"
