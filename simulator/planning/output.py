"""A plan → lines for pipes, a table on a terminal, one JSON document."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from broker.decide.plan import Kind, Problem
from broker.decide.plan.sensitivity import in_parts
from simulator.planning.alternatives import alternatives, options
from simulator.planning.by_model import by_model, together
from simulator.planning.explanation import (
    advice,
    assumptions,
    beyond,
    dollars,
    figures,
    how_sure,
    in_words,
    lead,
    what_to_do,
)
from simulator.planning.solution import Solution
from simulator.tables import print_bullets, print_table

COLUMNS = ("offer", "kind", "$/GPU-h", "GPUs", "busy", "GPU-hours", "cost")
OF_MODELS = ("GPU", "committed", "held", "serverless", "hours of work", "cost")


def of_offers(plan: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The heads, and a row for each offer of a plan's document; with the GPU where there are several models."""
    if len(plan["by_model"]) < 2:
        return [COLUMNS, *(_row(plan, name, terms) for name, terms in plan["terms"].items())]
    named = [(terms["gpu"], _row(plan, name, terms)) for name, terms in plan["terms"].items()]
    return [(name, gpu, *others) for gpu, (name, *others) in [("GPU", COLUMNS), *named]]


def of_models(plan: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each GPU model, and one for all; none where there is one model."""
    each = [*plan["by_model"], plan["together"]]
    return [_of_model(found) for found in each] if len(each) > 2 else []


def _of_model(found: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        found["gpu"] or "not named",
        f"{found['committed_gpus']:.4g}",
        f"{found['held_gpus']:.2f}",
        f"{found['serverless_gpus']:.2f}",
        f"{found['work_gpu_hours']:,.0f}",
        f"${found['cost_usd']:,.0f}",
    )


def _row(plan: Mapping[str, Any], name: str, terms: Mapping[str, Any]) -> tuple[str, ...]:
    busy = plan["busy_share"][name]
    return (
        name,
        terms["kind"],
        f"{terms['usd_per_gpu_hour']:.4g}",
        f"{terms['mean_gpus']:.2f}",
        "" if busy is None or terms["kind"] == Kind.SERVERLESS.value else f"{busy:.0%}",
        f"{plan['gpu_hours'][name]:,.0f}",
        f"${plan['cost_by_offer_usd'][name]:,.0f}",
    )


def print_plan(plan: Mapping[str, Any]) -> None:
    """A plan's document: what is bought and what to do.

    On a terminal also what it costs, first, and what one offer alone would, last.
    """
    if not sys.stdout.isatty():
        _print_tables(plan)
        print_bullets([plan["in_words"], *plan["advice"]])
        return
    print(plan["lead"])
    _print_tables(plan)
    print_bullets(plan["advice"])
    others = plan["options"][1:]
    if others:
        cells = [(each["title"], dollars(each["usd"]), beyond(each["usd"], plan["cost_usd"])) for each in others]
        print_table(("one way alone", "cost", "beside the plan"), cells)


def _print_tables(plan: Mapping[str, Any]) -> None:
    models, (heads, *offers) = of_models(plan), of_offers(plan)
    if models:
        print_table(OF_MODELS, models)
    print_table(heads, offers, names=3 if models else 2)


def document(problem: Problem, found: Solution, why: str, prices_from: str) -> dict[str, Any]:
    """A plan as plain values; `why` demand is thought to be as it is, and how old prices are."""
    plan = found.plan
    return {
        "hours": problem.hours,
        "scenarios": len(problem.scenarios),
        "busy_gpu_hours": float(problem.weights @ problem.demand.sum((1, 2))) * problem.step_hours,
        "cost_usd": plan.cost_usd,
        "scenario_usd": plan.scenario_usd.tolist(),
        "not_proved": plan.gap,
        "committed_gpus": dict(plan.committed_gpus),
        "held_gpus_mean": {
            name: each.gpu_hours / problem.hours for name, each in plan.holdings.items() if each.offer.kind is Kind.HELD
        },
        "gpu_hours": dict(plan.used_hours),
        "cost_by_offer_usd": dict(plan.cost_of),
        "cost_parts_usd": {name: dict(each.cost_of) for name, each in plan.holdings.items()},
        "busy_share": {name: each.busy_share for name, each in plan.holdings.items()},
        "next_gpu_usd": {name: each.next_gpu_usd for name, each in plan.holdings.items()},
        "obliged_usd": {name: each.obliged_usd for name, each in plan.holdings.items() if each.obliged_usd},
        "period_hours": plan.period_hours.tolist(),
        "gpus_by_period": {name: each.gpus.tolist() for name, each in plan.holdings.items()},
        "demand_gpus": dict(zip(plan.classes, plan.demand_gpus.tolist(), strict=True)),
        "gpu_hour_price_usd": dict(zip(plan.classes, plan.gpu_hour_price.tolist(), strict=True)),
        "limit_usd": dict(plan.limit_usd),
        "bought_below_usd": {name: _finite(below) for name, below in found.turns.items()},
        "bought_below_in_parts": in_parts(problem),
        "alternatives_usd": alternatives(problem),
        "without_commitments_usd": found.unbound_usd,
        "options": [
            {"title": each.title, "usd": each.usd, "between_usd": each.between_usd} for each in options(problem, plan)
        ],
        "terms": {
            name: {
                "gpu": each.offer.gpu,
                "kind": each.offer.kind.value,
                "usd_per_gpu_hour": each.offer.usd_per_gpu_hour,
                "gpus_of_a_node": each.offer.node,
                "now_gpus": each.now_gpus,
                "mean_gpus": each.gpu_hours / problem.hours,
            }
            for name, each in plan.holdings.items()
        },
        "by_model": [asdict(each) for each in by_model(problem, plan)],
        "together": asdict(together(problem, plan)),
        "rows_solved": plan.rows,
        "in_words": in_words(problem, plan),
        "advice": list(advice(problem, plan, found.turns, found.unbound_usd)),
        "lead": lead(problem, plan),
        "what_to_do": list(what_to_do(problem, plan, found.unbound_usd)),
        "how_sure": how_sure(problem, plan),
        "figures": [{"value": value, "what": what} for value, what in figures(problem, plan)],
        "assumptions": list(assumptions(problem, why)),
        "prices_from": prices_from,
    }


def _finite(usd: float | None) -> float | str | None:
    return "any" if usd is not None and math.isinf(usd) else usd
