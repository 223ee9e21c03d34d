"""Comparisons of policies → the report of `broker simulate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from simulator.compare import Comparison, Outcome
from simulator.comparison_output import Bands, columns, in_words, spilled_share, terms
from simulator.report.cost_unit import Unit
from simulator.report.costs import Bar, costs
from simulator.report.document import Chart, Page, Section, Table
from simulator.report.load_duration import load_duration
from simulator.report.over_time import over_time
from simulator.report.sensitivity import sensitivity as drawn_sensitivity
from simulator.report.style import CLUSTER, COMMITTED, SERVERLESS
from simulator.sensitivity import Sensitivity
from simulator.traces.describe import busy_shares

COLOURS = {"committed": COMMITTED, "cluster": CLUSTER, "serverless": SERVERLESS}
MONTH_H = 730.0
ASSUMPTIONS = (
    "Prices are relative to that of an on-demand cluster GPU and belong to the scenario, not to a day: "
    "`broker breakeven` has those of today, with their age.",
    "The first two weeks of the trace are history: policies see them, and their cost does not count.",
    "Capacity divides without loss, nothing waits, and data need not move; `broker simulate-jobs` plays gangs, queues, "
    "cold starts and billing job by job.",
    "The trace is what was asked for. With other prices people would have asked for something else.",
    "* knows the future: a yardstick, not a choice. Perfect hindsight is the least that any policy could have paid.",
)


def page(
    trace: str,
    found: Mapping[str, Comparison],
    bands: Bands,
    sensitivities: Mapping[str, Sensitivity],
    unit: Unit,
) -> str:
    """The report as HTML."""
    first, comparison = next(iter(found.items()))
    days = counted_hours(comparison) / 24
    return Page(
        title=f"What {trace} would have cost",
        subtitle=f"{days:,.0f} days after two weeks of history; {first}: {terms(comparison)}; costs in {unit.name}",
        lead=_lead(comparison, unit),
        advice=tuple(_advice(comparison, bands.get(first, {}), unit)),
        figures=tuple(_figures(comparison, unit)),
        sections=tuple(
            section
            for name, each in found.items()
            for section in _sections(name, each, bands.get(name, {}), sensitivities.get(name), unit)
        ),
        assumptions=ASSUMPTIONS,
    ).html()


def _lead(comparison: Comparison, unit: Unit) -> str:
    if not (usable := _usable(comparison)):
        return in_words(comparison)
    best = usable[0]
    text = f"By {best.policy.title}, this work costs {unit.text(best.cost.total / _months(comparison))} a month"
    for name in ("all-serverless", "autoscaler"):
        other = _named(comparison, name)
        if other is not None and other is not best and other.cost.total:
            saved = (other.cost.total - best.cost.total) / _months(comparison)
            text += (
                f", {unit.text(saved)} ({1 - best.cost.total / other.cost.total:.1%}) less than {other.policy.title}"
            )
    return f"{text}, and {comparison.ratio(best) - 1:.1%} more than perfect hindsight."


def _months(comparison: Comparison) -> float:
    return counted_hours(comparison) / MONTH_H


def counted_hours(comparison: Comparison) -> float:
    """Of the steps whose cost counts."""
    market = comparison.market
    return (len(comparison.demand) - market.warmup) * market.step_s / 3_600.0


def _usable(comparison: Comparison) -> list[Outcome]:
    return [outcome for outcome in comparison.outcomes if not outcome.policy.hindsight]


def _named(comparison: Comparison, name: str) -> Outcome | None:
    return next((each for each in comparison.outcomes if each.policy.name == name), None)


def _figures(comparison: Comparison, unit: Unit) -> Iterator[tuple[str, str]]:
    if not (usable := _usable(comparison)):
        return
    best = usable[0]
    yield unit.text(best.cost.total / _months(comparison)), f"a month, by {best.policy.title}"
    for name in ("all-serverless", "autoscaler"):
        other = _named(comparison, name)
        if other is not None and other is not best and other.cost.total:
            yield f"{best.cost.total / other.cost.total - 1:+.1%}", f"against {other.policy.title}"
    yield f"{comparison.ratio(best) - 1:+.1%}", "above perfect hindsight"
    yield f"{spilled_share(comparison, best):.1%}", "of the work on serverless"


def _advice(comparison: Comparison, band: Mapping[str, tuple[float, float]], unit: Unit) -> Iterator[str]:
    if not (usable := _usable(comparison)):
        return
    best, ours = usable[0], _named(comparison, "broker")
    if ours is best:
        yield "Let the autopilot size the cluster: it decides by the same policy, and says why each time."
    elif ours is not None:
        less = 1 - best.cost.total / ours.cost.total
        yield f"On this workload {best.policy.title} would have cost {less:.1%} less than the broker's policy."
    shares = busy_shares(comparison.demand.gpus[comparison.market.warmup :])
    worth = int(np.count_nonzero(shares > comparison.market.breakeven))
    yield f"If the size must stay the same, hold {worth} GPUs: each is busy for more than the breakeven."
    if best.policy.name in band:
        low, high = band[best.policy.name]
        yield (
            f"How sure: on workloads made of the same weeks in another order, {best.policy.title} pays between "
            f"{low - 1:+.1%} and {high - 1:+.1%} above hindsight, nine times in ten."
        )
    else:
        yield "How sure: this is one course of one workload; --replicates 20 says how far others like it would differ."


def _sections(
    name: str,
    comparison: Comparison,
    band: Mapping[str, tuple[float, float]],
    sensitivity: Sensitivity | None,
    unit: Unit,
) -> Iterator[Section]:
    yield Section(
        title=f"{name}: cost by policy",
        says=f"{terms(comparison).capitalize()}. {in_words(comparison)}",
        parts=(cost_chart(comparison, unit), _table(comparison, band, unit)),
    )
    if usable := _usable(comparison):
        yield Section(title=f"{name}: capacity against demand", parts=(capacity_chart(comparison, usable[0]),))
    chart = load_duration(comparison.demand.gpus[comparison.market.warmup :], comparison.market.breakeven)
    if chart is not None:
        yield Section(title=f"{name}: how busy each GPU would be", parts=(chart,))
    if sensitivity is not None:
        yield Section(
            title=f"{name}: if prices were others",
            says="Serverless cheaper to the right, dearer to the left; each policy decides anew.",
            parts=(sensitive_chart(comparison, sensitivity),),
        )


def cost_chart(comparison: Comparison, unit: Unit) -> Chart:
    """Cost by policy, with the least possible."""
    bars = [
        Bar(
            title=_title(outcome),
            parts={part: unit.value(getattr(outcome.cost, part)) for part in COLOURS},
            label=f"{comparison.ratio(outcome) - 1:+.1%}",
        )
        for outcome in comparison.outcomes
    ]
    floor = unit.value(comparison.optimum)
    says = f"The dotted line is perfect hindsight, {unit.text(comparison.optimum)}; beside the bars, what is above it."
    return costs(bars, COLOURS, unit=f"cost, {unit.axis}", says=says, floor=floor)


def _table(comparison: Comparison, band: Mapping[str, tuple[float, float]], unit: Unit) -> Table:
    rows, marks = [], []
    for outcome in comparison.outcomes:
        cost, between = outcome.cost, band.get(outcome.policy.name)
        rows.append(
            (
                _title(outcome),
                unit.short(cost.total),
                f"{comparison.ratio(outcome) - 1:+.1%}",
                f"{between[0] - 1:+.1%} … {between[1] - 1:+.1%}" if between else "",
                unit.short(cost.cluster),
                unit.short(cost.committed),
                unit.short(cost.serverless),
                f"{spilled_share(comparison, outcome):.1%}",
            )
        )
        ours, knows = outcome.policy.name == "broker", outcome.policy.hindsight
        marks.append("ours" if ours else "hindsight" if knows else "")
    return Table(heads=columns(unit), rows=rows, marks=marks)


def capacity_chart(comparison: Comparison, outcome: Outcome) -> Chart:
    """Demand and what a policy holds, over time."""
    committed = outcome.targets.committed_gpus
    return over_time(
        comparison.demand.gpus,
        outcome.cost.usable + committed,
        committed,
        comparison.market.step_s,
        held_by=outcome.policy.title,
        history_steps=comparison.market.warmup,
    )


def sensitive_chart(comparison: Comparison, found: Sensitivity) -> Chart:
    """Cost over the least possible at other prices."""
    from simulator.policies import POLICIES

    titles = {name: POLICIES[name].title for name in found.ratios}
    return drawn_sensitivity(found.breakevens, found.ratios, titles, comparison.market.breakeven)


def _title(outcome: Outcome) -> str:
    return outcome.policy.title + (" *" if outcome.policy.hindsight else "")
