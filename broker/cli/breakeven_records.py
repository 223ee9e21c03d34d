"""Breakevens → JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from broker.cli.render import Column, as_csv, as_json
from broker.decide.breakeven import Breakeven, reference_container
from broker.decide.price_book import stale
from broker.model.resources import GIB
from broker.run.money.breakeven_table import Asked, BreakevenTable


def print_csv(cells: Iterable[Breakeven], asked: Asked) -> None:
    """One line per pair of offers."""
    fields = ("cluster", "serverless", "utilization", "never", "held_usd_per_hour", "bought_usd_per_hour", "stale")
    as_csv([Column(head=field, cell=_text(field)) for field in fields], [_record(cell, asked) for cell in cells])


def print_pairs(cells: Iterable[Breakeven], asked: Asked) -> None:
    """One array of all pairs of offers, as `print_json` has them."""
    as_json([_record(cell, asked) for cell in cells])


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
            "pairs": [_record(cell, found.asked) for cell in found.cells],
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


def _record(cell: Breakeven, asked: Asked) -> dict[str, Any]:
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


def _text(field: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: str(row[field])
