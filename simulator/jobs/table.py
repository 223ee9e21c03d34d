"""Runs of jobs under several rules → a table for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from simulator.jobs.rules import Named
from simulator.jobs.run import Result, Terms

Runs = Mapping[str, tuple[Named, Result]]
COLUMNS = ("rule", "cost", "cluster", "serverless", "idle tails", "on serverless", "mean wait", "longest wait")


def rows(runs: Runs, terms: Terms, count: int) -> list[tuple[str, ...]]:
    """A row for each rule, the cheapest first."""
    return [
        (
            named.title,
            f"{found.cost:,.0f}",
            f"{found.cluster_gpu_hours * terms.cluster:,.0f}",
            f"{found.serverless_gpu_hours * terms.serverless:,.0f}",
            f"{found.tail_gpu_hours * terms.serverless:,.0f}",
            f"{found.on_serverless / count:.1%}",
            _duration(found.mean_wait_s),
            _duration(found.longest_wait_s),
        )
        for named, found in sorted(runs.values(), key=lambda each: each[1].cost)
    ]


def print_runs(runs: Runs, terms: Terms, count: int) -> None:
    """A table; tab-separated where nobody looks."""
    lines = rows(runs, terms, count)
    if not sys.stdout.isatty():
        print("\n".join("\t".join(line) for line in (COLUMNS, *lines)))
        return
    table = Table(title=f"{count:,} jobs, {in_words(terms)}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "rule" else "right")
    for line in lines:
        table.add_row(*line)
    Console().print(table)


def in_words(terms: Terms) -> str:
    """The terms, in words."""
    return (
        f"nodes of {terms.node_gpus:g} GPUs that boot in {_duration(terms.boot_s)}, serverless at "
        f"{terms.serverless / terms.cluster:.2f} times the price with {terms.cold_start_s:g} s of cold start and "
        f"{terms.scaledown_window_s:g} s of tail"
    )


def print_json(trace: str, runs: Runs, terms: Terms, count: int) -> None:
    """All of it as one document."""
    found = {
        name: {
            "title": named.title,
            "rule": asdict(named.rule) | {"wait_s": min(named.rule.wait_s, sys.float_info.max)},
            **{key: value for key, value in asdict(result).items() if isinstance(value, int | float)},
        }
        for name, (named, result) in runs.items()
    }
    print(json.dumps({"trace": trace, "jobs": count, "terms": asdict(terms), "rules": found}))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
