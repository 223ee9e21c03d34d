"""A breakeven table → text for people, JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from broker.cli.breakeven_table import BreakevenTable, Row
from broker.cli.render import Column, as_csv, as_json, say, table
from broker.decide.breakeven import ZERO, Breakeven, dispatch_cost, reference_container
from broker.decide.price_book import stale
from broker.decide.wording import seconds
from broker.model.offers import Offer
from broker.model.resources import GIB

Cell = Callable[[Mapping[str, Any]], str]

HOURS_PER_MONTH = 730
# What a serverless container is often billed beside the work, shown where nothing else is said.
USUAL_COLD_START_S = Decimal(10)
USUAL_IDLE_TAIL_S = Decimal(60)


def print_text(found: BreakevenTable) -> None:
    """The table, what moves it, what the length of jobs does, and the question at dispatch."""
    asked = found.asked
    container = reference_container(found.pair.cluster.gpu_model)
    title = (
        f"{found.pair.cluster.gpu_model}: busy share above which holding a GPU costs less than buying the work "
        f"(container: 1 GPU, {container.cpus / 2:g} cores, {container.memory_bytes / GIB:g} GiB)"
    )
    table(list(_columns(found)), [_row(found, row) for row in found.rows], title=title)
    if any(stale(offer, asked.day, asked.stale_days) for offer in (*found.columns, *(r.cluster for r in found.rows))):
        say(
            f"* price older than {asked.stale_days} days on {asked.day}: check it before you rely on it", style="yellow"
        )
    print()
    pair = found.pair
    print(f"What moves it, for {name(pair.cluster)} against {name(pair.serverless)} ({share(pair)}):")
    for effect in found.effects():
        print(f"  {effect.change:<58} {effect.utilization:>6.0%}  {effect.relative:>+6.0%}")
    print()
    _print_lengths(found)
    print()
    _print_dispatch(found)


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


def _columns(found: BreakevenTable) -> Iterator[Column]:
    yield Column(head="cluster offer", cell=lambda row: row["offer"])
    yield Column(head="tier", cell=lambda row: row["tier"])
    yield Column(head="as of", cell=lambda row: row["as_of"])
    yield Column(head="$/GPU-h", cell=lambda row: row["usd"], right=True)
    for at, (offer, cell) in enumerate(zip(found.columns, found.rows[0].cells, strict=True)):
        mark = "*" if stale(offer, found.asked.day, found.asked.stale_days) else ""
        yield Column(
            head=f"{offer.provider}{mark} {cell.bought_usd:.2f}", cell=_against(at), right=True, style=_style(at)
        )
    if found.asked.utilization is not None:
        head = f"at {found.asked.utilization:.0%} busy, {found.pair.serverless.provider}"
        yield Column(head=head, cell=lambda row: row["advice"])


def _text(field: str) -> Cell:
    return lambda row: str(row[field])


def _against(at: int) -> Cell:
    return lambda row: share(row["cells"][at])


def _style(at: int) -> Cell:
    return lambda row: "dim" if row["cells"][at].never else "green"


def _row(found: BreakevenTable, row: Row) -> dict[str, Any]:
    asked = found.asked
    return {
        "offer": name(row.cluster),
        "tier": row.cluster.tier.value,
        "as_of": f"{row.cluster.valid_from}{'*' if stale(row.cluster, asked.day, asked.stale_days) else ''}",
        "usd": f"{row.cluster.usd_per_gpu_hour:.2f}",
        "cells": row.cells,
        "advice": "" if asked.utilization is None else _advice(row.cells[found.column], asked.utilization),
    }


def _advice(cell: Breakeven, utilization: Decimal) -> str:
    """Which way is cheaper at a busy share, and by how much for one GPU and month."""
    saved = (cell.serverless_usd_at(utilization) - cell.held_usd) * HOURS_PER_MONTH
    return f"{'hold' if saved > 0 else 'buy'}: saves ${abs(saved):,.0f} a month"


def name(offer: Offer) -> str:
    """An offer, short."""
    return " ".join(part for part in (offer.provider, offer.sku, offer.region) if part)


def share(cell: Breakeven) -> str:
    """A breakeven for people; near 100 % with a decimal, so that "never" is seen to be above it."""
    near = abs(cell.utilization - 1) < Decimal("0.005")
    percent = f"{cell.utilization:.1%}" if near else f"{cell.utilization:.0%}"
    return f"never ({percent})" if cell.never else percent


def print_csv(found: BreakevenTable) -> None:
    """One line per pair of offers."""
    fields = ("cluster", "serverless", "utilization", "never", "held_usd_per_hour", "bought_usd_per_hour", "stale")
    cells = [_cell(found, cell) for row in found.rows for cell in row.cells]
    as_csv([Column(head=field, cell=_text(field)) for field in fields], cells)


def print_json(found: BreakevenTable) -> None:
    """Everything that the text has, with the components of each rate; dollars are decimal strings."""
    pair, conditions = found.pair, found.asked.conditions
    container = reference_container(pair.cluster.gpu_model)
    as_json(
        {
            "gpu": pair.cluster.gpu_model,
            "day": found.asked.day.isoformat(),
            "conditions": {field: str(value) for field, value in asdict(conditions).items()},
            "container": {"cpus": container.cpus, "memory_gib": container.memory_bytes / GIB, "gpus": container.gpus},
            "pairs": [_cell(found, cell) for row in found.rows for cell in row.cells],
            "looked_at": {"cluster": pair.cluster.id, "serverless": pair.serverless.id},
            "effects": [
                {"change": each.change, "utilization": float(each.utilization), "relative": float(each.relative)}
                for each in found.effects()
            ],
            "job_lengths": [
                {"job_s": float(length), "utilization": float(cell.utilization), "bought_usd": str(cell.bought_usd)}
                for length, cell in found.job_lengths(conditions)
            ],
        }
    )


def _cell(found: BreakevenTable, cell: Breakeven) -> dict[str, Any]:
    asked = found.asked
    old = [offer.id for offer in (cell.cluster, cell.serverless) if stale(offer, asked.day, asked.stale_days)]
    made = {
        "cluster": cell.cluster.id,
        "serverless": cell.serverless.id,
        "utilization": float(cell.utilization),
        "never": cell.never,
        "held_usd_per_hour": str(cell.held_usd),
        "bought_usd_per_hour": str(cell.bought_usd),
        "stale": bool(old),
        "held": {part.what: str(part.usd_per_hour) for part in cell.held},
        "bought": {part.what: str(part.usd_per_hour) for part in cell.bought},
    }
    if asked.utilization is not None:
        made["at"] = {
            "utilization": float(asked.utilization),
            "held_usd_per_hour": str(cell.held_usd),
            "bought_usd_per_hour": str(cell.serverless_usd_at(asked.utilization)),
        }
    return made
