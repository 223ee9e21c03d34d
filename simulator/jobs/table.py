"""Runs of jobs under several rules → a table for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from simulator.jobs.result import Result, document
from simulator.jobs.rules import Named
from simulator.jobs.terms import Live, Rule, Terms
from simulator.tables import print_table

COLUMNS = (
    "rule",
    "cost",
    "90% interval",
    "nodes",
    "serverless",
    "cold and idle",
    "on serverless",
    "wait",
    "99% wait",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One rule, played; the interval is that of its cost over workloads like this one, where it was asked for,
    as are those of what follows."""

    named: Named
    result: Result
    interval: tuple[float, float] | None = None
    over_best: tuple[float, float] | None = None  # of its cost over the cheapest rule's that needs no hindsight
    mean_wait_s: tuple[float, float] | None = None


Runs = Mapping[str, Played]


def ordered(runs: Runs) -> list[tuple[str, Played]]:
    """Rules that need no hindsight first, the cheapest first."""
    return sorted(runs.items(), key=lambda item: (item[1].named.hindsight, item[1].result.cost))


def rows(runs: Runs) -> list[tuple[str, ...]]:
    """The columns' names, and a row for each rule."""
    return [COLUMNS, *(_row(played) for _, played in ordered(runs))]


def _money(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 or amount == 0 else f"{amount:.3g}"


def _row(played: Played) -> tuple[str, ...]:
    found, paid = played.result, played.result.parts
    return (
        played.named.title + (" *" if played.named.hindsight else ""),
        _money(found.cost),
        " … ".join(map(_money, played.interval)) if played.interval else "",
        _money(paid["on_demand"] + paid["spot"]),
        _money(paid["serverless"]),
        _money(paid["cold_start"] + paid["idle_tail"] + paid["rounding"]),
        f"{found.on_serverless / found.jobs:.1%}",
        duration(found.waits.mean_s),
        duration(found.waits.quantile(0.99)),
    )


def print_runs(runs: Runs, terms: Terms) -> None:
    """A table; tab-separated where nobody looks."""
    heads, *lines = rows(runs)
    if not sys.stdout.isatty():
        print_table((heads[0], f"{heads[1]}, {terms.unit}", *heads[2:]), lines)
        return
    jobs = next(iter(runs.values())).result.jobs
    print_table(heads, lines, title=f"{jobs:,} jobs, {in_words(terms)}")
    print(f"Costs are in {terms.unit}. * knows the workload: a yardstick, not a choice.")


def in_words(terms: Terms) -> str:
    """The terms, in words."""
    words = [
        f"nodes of {terms.node_gpus:g} GPUs that boot in {duration(terms.boot_s)}",
        f"serverless at {terms.serverless / terms.cluster:.2f} times the price with {terms.cold_start_s:g} s of cold "
        f"start and {terms.scaledown_window_s:g} s of tail",
    ]
    if terms.availability is not None:
        words.append(f"spot at {terms.spot / terms.cluster:.2f} times the price")
    if terms.node_mtbf_s < math.inf:
        words.append(f"a failure of each node every {duration(terms.node_mtbf_s)}")
    if terms.checkpoint_s < math.inf:
        words.append(f"a checkpoint every {duration(terms.checkpoint_s)}")
    return ", ".join(words)


def print_json(trace: str, runs: Runs, terms: Terms) -> None:
    """All of it as one document."""
    print(json.dumps({"trace": trace, **as_document(runs, terms)}))


def as_document(runs: Runs, terms: Terms) -> dict[str, Any]:
    """Terms and each rule with its result, in order. What is without limit is null."""
    shown = {name: _finite(value) for name, value in asdict(terms).items() if name != "availability"}
    return {
        "terms": shown | {"in_words": in_words(terms), "spot_recorded": terms.availability is not None},
        "jobs": next(iter(runs.values())).result.jobs,
        "rules": {
            name: {
                "title": played.named.title,
                "hindsight": played.named.hindsight,
                "rule": rule_document(played.named.rule),
                **document(played.result),
                "interval": list(played.interval) if played.interval else None,
                "over_best_interval": list(played.over_best) if played.over_best else None,
                "mean_wait_interval_s": list(played.mean_wait_s) if played.mean_wait_s else None,
            }
            for name, played in ordered(runs)
        },
    }


def rule_document(rule: Rule | Live) -> dict[str, Any]:
    """A rule as plain values; of targets, only the least and the most."""
    values = {name: _finite(value) for name, value in asdict(rule).items() if name not in ("targets", "step_s")}
    targets = rule.targets if isinstance(rule, Rule) else ()
    return values | {"targets": [min(targets), max(targets)] if targets else None}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and math.isinf(value) else value


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
