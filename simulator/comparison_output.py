"""Comparisons → a table for people, lines for pipes, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from simulator.compare import Comparison, Outcome
from simulator.policies import Policy
from simulator.report.cost_unit import Unit
from simulator.tables import print_bullets, print_table

INTERVAL, COMMITTED = "90% interval", "committed"

Bands = Mapping[str, Mapping[str, tuple[float, float]]]


def columns(unit: Unit) -> tuple[str, ...]:
    """The heads of a comparison's table."""
    parts = ("cluster", COMMITTED, "serverless")
    return ("policy", f"cost, {unit.axis}", "over hindsight", INTERVAL, *parts, "work on serverless")


def print_tables(found: Mapping[str, Comparison], bands: Bands, unit: Unit) -> None:
    """A table for each scenario; one of all where nobody looks."""
    lines = {
        name: [_row(each, one, bands.get(name, {}), unit) for one in each.outcomes] for name, each in found.items()
    }
    if not sys.stdout.isatty():
        print_table(("scenario", *columns(unit)), [(name, *row) for name, rows in lines.items() for row in rows])
        return
    for name, comparison in found.items():
        left_out = (COMMITTED,) if comparison.market.commit is None else ()
        styles = [_style(outcome.policy) for outcome in comparison.outcomes]
        title = f"{name}: {terms(comparison)}"
        print_table(columns(unit), lines[name], title=title, styles=styles, left_out=left_out)
        print_bullets((in_words(comparison),))
    print(f"\nCosts are in {unit.name}, after two weeks of history. * knows the future: a yardstick, not a choice.")


def _style(policy: Policy) -> str:
    return "bold green" if policy.name == "broker" else "dim" if policy.hindsight else ""


def in_words(comparison: Comparison) -> str:
    """What follows from it, in one sentence."""
    usable = [outcome for outcome in comparison.outcomes if not outcome.policy.hindsight]
    if not usable:
        return f"The least it could have cost is {comparison.optimum:,.0f}."
    best = usable[0]
    text = f"{best.policy.title} costs {_percent(comparison.ratio(best) - 1)} more than perfect hindsight"
    for outcome in usable[1:]:
        if outcome.policy.name in ("all-serverless", "autoscaler"):
            saved = 1 - best.cost.total / outcome.cost.total
            text += f", {_percent(saved)} less than {outcome.policy.title}"
    return text[0].upper() + text[1:] + "."


def terms(comparison: Comparison) -> str:
    """The prices and rules of the market, in words."""
    market = comparison.market
    words = [f"serverless at {market.serverless / market.cluster:.2f} times the cluster's price"]
    if market.node > 1:
        words.append(f"nodes of {market.node} GPUs")
    if market.boot:
        words.append(f"{market.boot * market.step_s / 60:.0f} min to boot")
    if market.resize_every > 1:
        words.append(f"resized every {market.resize_every * market.step_s / 3600:.0f} h")
    if market.commit is not None:
        words.append(f"{market.commit_window * market.step_s / 86400:.0f}-day commitments at {market.commit:.2f}")
    return ", ".join(words)


def _row(
    comparison: Comparison, outcome: Outcome, bands: Mapping[str, tuple[float, float]], unit: Unit
) -> tuple[str, ...]:
    cost = outcome.cost
    band = bands.get(outcome.policy.name)
    return (
        outcome.policy.title + (" *" if outcome.policy.hindsight else ""),
        unit.short(cost.total),
        f"+{_percent(comparison.ratio(outcome) - 1)}",
        f"+{_percent(band[0] - 1, '')}…{_percent(band[1] - 1)}" if band else "",
        unit.short(cost.cluster),
        unit.short(cost.committed),
        unit.short(cost.serverless),
        _percent(spilled_share(comparison, outcome)),
    )


def spilled_share(comparison: Comparison, outcome: Outcome) -> float:
    """Of the work that counts, the part that ran on serverless."""
    return outcome.cost.serverless_gpu_hours / max(_busy_hours(comparison), 1e-9)


def _busy_hours(comparison: Comparison) -> float:
    market = comparison.market
    return float(comparison.demand.gpus[market.warmup :].sum() * market.step_s / 3_600.0)


def _percent(share: float, unit: str = " %") -> str:
    return f"{max(share, 0.0) * 100:.1f}{unit}"


def print_json(trace: str, found: Mapping[str, Comparison], bands: Bands) -> None:
    """All of it, except for the targets themselves."""
    print(
        json.dumps({"trace": trace, "scenarios": {name: document(c, bands.get(name, {})) for name, c in found.items()}})
    )


def document(comparison: Comparison, bands: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """One comparison as plain values. Costs are in the market's unit: the price of a cluster GPU-hour is `cluster`."""
    policies = {}
    for outcome in comparison.outcomes:
        numbers = {name: value for name, value in asdict(outcome.cost).items() if isinstance(value, float)}
        numbers["ratio"] = comparison.ratio(outcome)
        band = bands.get(outcome.policy.name)
        policies[outcome.policy.name] = {
            "title": outcome.policy.title,
            "hindsight": outcome.policy.hindsight,
            **{name: float(value) for name, value in numbers.items()},
            "interval": list(band) if band else None,
        }
    return {
        "market": asdict(comparison.market),
        "steps": len(comparison.demand),
        "busy_gpu_hours": _busy_hours(comparison),
        "optimum": comparison.optimum,
        "policies": policies,
        "in_words": in_words(comparison),
    }
