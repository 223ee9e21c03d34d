"""Files and prices → the problem of a plan; a plan → words and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from broker.decide.demand import Demand, demand
from broker.decide.plan import Kind, Offer, Plan, Problem
from broker.decide.price_book import PriceBook
from broker.decide.workload import Floats
from broker.model.errors import InvalidInput, PriceMissing
from broker.model.errors import Problem as Wrong
from broker.model.offers import Offer as Priced
from broker.model.offers import Tier
from simulator.traces import load
from simulator.traces.describe import busy_shares

KINDS = {
    "committed": Kind.COMMITTED,
    "commitment": Kind.COMMITTED,
    "cluster": Kind.HELD,
    "on_demand": Kind.HELD,
    "spot": Kind.HELD,
    "serverless": Kind.SERVERLESS,
}
TIERS = {
    Tier.COMMIT_3Y: Kind.COMMITTED,
    Tier.COMMIT_1Y: Kind.COMMITTED,
    Tier.ON_DEMAND: Kind.HELD,
    Tier.SERVERLESS: Kind.SERVERLESS,
}


def demand_of(trace: str, file: Path | None, step_s: float) -> Floats:
    """Busy GPUs in each step, of a trace, or of a file that has them already. Raises `InvalidInput` with the place."""
    if file is None:
        history = load(trace, step_s)
        return history.gpus if isinstance(history, Demand) else demand(history, step_s).gpus
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise InvalidInput(Wrong(file=str(file), message=f"can't be read as CSV: {error}")) from None
    if "gpus_busy" not in table or table.empty:
        raise InvalidInput(Wrong(file=str(file), line=1, message="needs rows and the columns step, gpus_busy"))
    values = pd.to_numeric(table["gpus_busy"], errors="coerce")
    bad = values.index[values.isna() | (values < 0)]
    if len(bad):
        said = f"{str(table['gpus_busy'].iloc[bad[0]])!r} is not a number of at least 0"
        raise InvalidInput(Wrong(file=str(file), line=int(bad[0]) + 2, field="gpus_busy", message=said))
    gpus: Floats = values.to_numpy(dtype="float64")
    return gpus


def offers_of_pools(file: Path) -> tuple[Offer, ...]:
    """Offers of a YAML file: `pools: NAME: {kind, usd_per_hour, gpus, max_gpus}`. Raises `InvalidInput`."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(Wrong(file=str(file), message=str(error.strerror or error))) from None
    except yaml.YAMLError as error:
        raise InvalidInput(Wrong(file=str(file), message=f"is not YAML: {error}")) from None
    pools = document.get("pools") if isinstance(document, dict) else None
    if not isinstance(pools, dict) or not pools:
        raise InvalidInput(Wrong(file=str(file), field="pools", message="name at least one pool"))
    return tuple(_offer(str(name), part, str(file)) for name, part in pools.items())


def _offer(name: str, part: Any, file: str) -> Offer:
    """A node of `gpus` GPUs (or `accelerators: H100:8`) costs `usd_per_hour`; of serverless, a GPU does."""

    def wrong(field: str, message: str) -> InvalidInput:
        return InvalidInput(
            Wrong(file=file, field=f"pools.{name}.{field}" if field else f"pools.{name}", message=message)
        )

    if not isinstance(part, dict):
        raise wrong("", "must have kind and usd_per_hour")
    kind = KINDS.get(str(part.get("kind", "")))
    if kind is None:
        raise wrong("kind", f"must be one of {', '.join(KINDS)}")
    price: Any = part.get("usd_per_hour", part.get("price"))
    if isinstance(price, dict):
        price = price.get("usd_per_hour")
    gpus = part.get("gpus", str(part.get("accelerators", "")).rpartition(":")[2] or 1)
    try:
        usd, node = float(price), max(int(gpus), 1)
    except (TypeError, ValueError):
        raise wrong("usd_per_hour", "must be dollars an hour, and gpus a number") from None
    if usd < 0:
        raise wrong("usd_per_hour", "must not be below 0")
    most = part.get("max_gpus", part["max_nodes"] * node if "max_nodes" in part else None)
    node = 1 if kind is Kind.SERVERLESS else node
    per_gpu = usd if kind is Kind.SERVERLESS else usd / node
    return Offer(name=name, kind=kind, usd_per_gpu_hour=per_gpu, node=node, max_gpus=most)


def offers_of_market(gpu: str) -> tuple[Offer, ...]:
    """For each way to buy this GPU the cheapest offer that is known today. Raises `PriceMissing`."""
    book = PriceBook(_known())
    today = datetime.now(UTC).date()
    found = [(kind, book.find(today, gpu=gpu, tier=tier)) for tier, kind in TIERS.items()]
    offers = [_bought(offers[0], kind) for kind, offers in found if offers]
    if not offers:
        raise PriceMissing(f"no price of {gpu} is known: `broker prices` lists what there is, --pools brings your own")
    return tuple(offers)


def _bought(offer: Priced, kind: Kind) -> Offer:
    node = max(int(offer.gpu_count), 1)
    per_gpu = float(offer.usd_per_hour) / node
    return Offer(name=offer.id, kind=kind, usd_per_gpu_hour=per_gpu, node=1 if kind is Kind.SERVERLESS else node)


def _known() -> Iterator[Priced]:
    for entry_point in entry_points(group="broker.price_sources"):
        yield from entry_point.load()().offers()


def result_to_dict(problem: Problem, plan: Plan) -> dict[str, Any]:
    """A plan as plain values."""
    gpus = problem.scenarios[0].gpus
    return {
        "hours": problem.hours,
        "busy_gpu_hours": float(gpus.sum() * problem.step_hours),
        "cost_usd": plan.cost_usd,
        "committed_gpus": dict(plan.committed_gpus),
        "held_gpus_mean": {name: float(held.mean()) for name, held in plan.held_gpus.items()},
        "gpu_hours": dict(plan.used_hours),
        "cost_by_offer_usd": dict(plan.cost_of),
        "next_gpu_usd": dict(plan.next_gpu_usd),
        "alternatives_usd": _alternatives(problem),
        "in_words": in_words(problem, plan),
    }


def _alternatives(problem: Problem) -> dict[str, float]:
    """What one offer alone would cost, where it may be as large as is needed."""
    gpus, found = problem.scenarios[0].gpus, {}
    for offer in problem.offers:
        if offer.kind is Kind.SERVERLESS:
            found[f"all {offer.name}"] = float(gpus.sum() * problem.step_hours * offer.usd_per_gpu_hour)
        elif offer.kind is Kind.COMMITTED:
            found[f"{offer.name} for the peak"] = float(gpus.max() * problem.hours * offer.usd_per_gpu_hour)
    return found


def in_words(problem: Problem, plan: Plan) -> str:
    """What to do and why, with the busy share at which it turns."""
    shares = busy_shares(problem.scenarios[0].gpus)
    words = []
    for offer in problem.offers:
        if offer.kind is Kind.COMMITTED:
            count = plan.committed_gpus[offer.name]
            words += [f"a commitment to {count:.4g} GPUs of {offer.name}"] if count > 1e-9 else []
        elif plan.used_hours[offer.name] > 1e-9:
            words.append(f"{plan.used_hours[offer.name]:,.0f} GPU-hours of {offer.name}")
    text = f"Buy: {', '.join(words)}: ${plan.cost_usd:,.0f} in {problem.hours / 24:,.0f} days."
    firm = int(sum(plan.committed_gpus.values()))
    if 0 < firm <= len(shares):
        text += f" The last committed GPU is busy {shares[firm - 1]:.0%} of the time"
        text += f", the next would be {shares[firm]:.0%}." if firm < len(shares) else "."
    for name, cost in _alternatives(problem).items():
        if cost > 0:
            text += f" Instead, {name} would cost ${cost:,.0f} ({cost / max(plan.cost_usd, 1e-9) - 1:+.0%})."
    if any(plan.committed_gpus.values()):
        text += " A commitment outlasts this demand: it pays only if demand goes on like this."
    return text


def print_plan(problem: Problem, plan: Plan) -> None:
    """Tab-separated lines, and the sentence."""
    print("offer\tkind\t$/GPU-h\tGPUs\tGPU-hours\tcost")
    for offer in problem.offers:
        hours = plan.used_hours[offer.name]
        row = (
            f"{offer.usd_per_gpu_hour:.4g}",
            f"{hours / problem.hours:.2f}",
            f"{hours:,.0f}",
            f"${plan.cost_of[offer.name]:,.0f}",
        )
        print("\t".join((offer.name, offer.kind.value, *row)))
    print(in_words(problem, plan))


def print_json(problem: Problem, plan: Plan) -> None:
    """One JSON document."""
    print(json.dumps(result_to_dict(problem, plan)))
