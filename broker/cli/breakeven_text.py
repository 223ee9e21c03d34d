"""A breakeven table → text for people: the table, what moves it, job lengths, and the question at dispatch."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from broker.cli.render import Column, say, table
from broker.decide.breakeven import ZERO, Breakeven, dispatch_cost, reference_container
from broker.decide.price_book import stale
from broker.decide.wording import seconds
from broker.model.offers import Offer
from broker.model.resources import GIB
from broker.run.money.breakeven_table import BreakevenTable, Row

Cell = Callable[[Mapping[str, Any]], str]

HOURS_PER_MONTH = 730
# Characters of the table on a terminal.
CLUSTER_WIDTH = 54
SERVERLESS_WIDTH = 17
ADVICE_WIDTH = 28
# What a serverless container is often billed beside the work, shown where nothing else is said.
USUAL_COLD_START_S = Decimal(10)
USUAL_IDLE_TAIL_S = Decimal(60)


def print_text(found: BreakevenTable) -> None:
    """Prints it; on a terminal with as many serverless offers as fit, in a pipe tab-separated and whole."""
    _print_table(found)
    pair = found.pair
    print(f"\nWhat moves it, for {name(pair.cluster)} against {name(pair.serverless)} ({share(pair)}):")
    for effect in found.effects():
        print(f"  {effect.change:<58} {effect.utilization:>6.0%}  {effect.relative:>+6.0%}")
    print()
    _print_lengths(found)
    print()
    _print_dispatch(found)


def _print_table(found: BreakevenTable) -> None:
    asked, model = found.asked, found.pair.cluster.gpu_model
    container = reference_container(model)
    print(f"{model}: busy share above which holding a GPU costs less than buying the work")
    cores = f"{container.cpus / 2:g} cores ({container.cpus:g} virtual CPUs)"
    print(f"(a container has 1 GPU, {cores} and {container.memory_bytes / GIB:g} GiB)")
    shown = fitting(found) if sys.stdout.isatty() else range(len(found.columns))
    rows = [_row(found, row) for row in found.rows]
    table([*_cluster_columns(), *_serverless_columns(found, shown), *_advice_column(found)], rows)
    if any(_mark(found, offer) for offer in (*found.columns, *(row.cluster for row in found.rows))):
        text = f"* price older than {asked.stale_days} days on {asked.day}: check it before you rely on it"
        say(text, style="yellow")
    if len(shown) < len(found.columns):
        left_out = [offer.provider for at, offer in enumerate(found.columns) if at not in shown]
        say(f"no room for {', '.join(left_out)}: --serverless shows one, --csv all")


def fitting(found: BreakevenTable) -> Sequence[int]:
    """The serverless offers that the terminal has room for: the one looked at, and the cheapest."""
    advice = ADVICE_WIDTH if found.asked.utilization is not None else 0
    room = (shutil.get_terminal_size().columns - CLUSTER_WIDTH - advice) // SERVERLESS_WIDTH
    others = [at for at in range(len(found.columns)) if at != found.column]
    return sorted([found.column, *others[: max(room - 1, 0)]])


def _print_lengths(found: BreakevenTable) -> None:
    conditions, assumed = found.asked.conditions, ""
    if not conditions.cold_start_s and not conditions.idle_tail_s:
        conditions = replace(conditions, cold_start_s=USUAL_COLD_START_S, idle_tail_s=USUAL_IDLE_TAIL_S)
        assumed = ", assumed"
    cold, tail = seconds(float(conditions.cold_start_s)), seconds(float(conditions.idle_tail_s))
    print(f"What a job's length does (cold start {cold} and idle tail {tail} billed per job{assumed}):")
    for length, cell in found.job_lengths(conditions):
        print(f"  {seconds(float(length)):<8} {share(cell):>14}  ${cell.bought_usd:.2f} per GPU-hour of work")


def _print_dispatch(found: BreakevenTable) -> None:
    job_s = found.asked.conditions.job_s
    costs = dispatch_cost(found.pair, gpus=Decimal(1), free_gpus=Decimal(1), run_s=job_s)
    full = dispatch_cost(found.pair, gpus=Decimal(1), free_gpus=ZERO, run_s=job_s)
    print(
        f"At dispatch, a held GPU that is free adds ${costs.cluster_usd:.2f} for a job of {seconds(float(job_s))}; "
        f"one more held for it ${full.cluster_usd:.4f}, {found.pair.serverless.provider} ${costs.serverless_usd:.4f}."
    )


def _cluster_columns() -> Iterator[Column]:
    yield Column(head="cluster offer", cell=lambda row: row["offer"], wrap=True)
    yield Column(head="tier", cell=lambda row: row["tier"])
    yield Column(head="$/GPU-h", cell=lambda row: row["usd"], right=True)


def _serverless_columns(found: BreakevenTable, shown: Iterable[int]) -> Iterator[Column]:
    for at in shown:
        offer, cell = found.columns[at], found.rows[0].cells[at]
        head = f"{offer.provider} {cell.bought_usd:.2f}{_mark(found, offer)}"
        yield Column(head=head, cell=_against(at), right=True, style=_style(at))


def _advice_column(found: BreakevenTable) -> Iterator[Column]:
    if found.asked.utilization is not None:
        head = f"{found.asked.utilization:.0%} busy, {found.pair.serverless.provider}"
        yield Column(head=head, cell=lambda row: row["advice"])


def _mark(found: BreakevenTable, offer: Offer) -> str:
    return "*" if stale(offer, found.asked.day, found.asked.stale_days) else ""


def _against(at: int) -> Cell:
    return lambda row: share(row["cells"][at])


def _style(at: int) -> Cell:
    return lambda row: "dim" if row["cells"][at].never else "green"


def _row(found: BreakevenTable, row: Row) -> dict[str, Any]:
    asked = found.asked
    return {
        "offer": name(row.cluster),
        "tier": row.cluster.tier.value,
        "usd": f"{row.cluster.usd_per_gpu_hour:.2f}{_mark(found, row.cluster)}",
        "cells": row.cells,
        "advice": "" if asked.utilization is None else _advice(row.cells[found.column], asked.utilization),
    }


def _advice(cell: Breakeven, utilization: Decimal) -> str:
    """Which way is cheaper at a busy share, and by how much for one GPU and month."""
    saved = (cell.serverless_usd_at(utilization) - cell.held_usd) * HOURS_PER_MONTH
    return f"{'hold' if saved > 0 else 'buy'}, saves ${abs(saved):,.0f}/month"


def name(offer: Offer) -> str:
    """An offer, short."""
    return " ".join(part for part in (offer.provider, offer.sku, offer.region) if part)


def share(cell: Breakeven) -> str:
    """A breakeven for people; near 100 % with a decimal, so that "never" is seen to be above it."""
    near = abs(cell.utilization - 1) < Decimal("0.005")
    percent = f"{cell.utilization:.1%}" if near else f"{cell.utilization:.0%}"
    return f"never {percent}" if cell.never else percent
