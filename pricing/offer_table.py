"""Offers and what is wanted of them → a table on a terminal, tab-separated lines in a pipe, JSON or CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from broker.model.errors import UnknownName
from broker.model.offers import Offer, in_force
from broker.model.resources import canonical_gpu
from pricing.live.history import Refresh

HEADS = ("offer", "GPUs", "tier", "$/GPU-h", "$/h", "$/CPU-h", "$/GiB-h", "billed by", "as of")
NUMBERS = range(3, 7)  # columns of figures, aligned to the right
DISPENSABLE = ("tier", "$/h", "billed by", "$/GiB-h", "$/CPU-h")  # in this order, where a terminal is narrow
PADDING = 2  # characters between columns
SOURCE_HEADS = ("source", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters of the list of offers; None means any."""

    gpu: str | None = None
    provider: str | None = None
    tier: str | None = None
    region: str | None = None
    every: bool = False  # also what has no GPU, and what a newer price has replaced


def select(offers: Sequence[Offer], wanted: Wanted, day: date) -> list[Offer]:
    """The offers wanted, as known on a day. Raises `UnknownName` for a name that no offer has, with the nearest."""
    asked = {
        "gpu_model": None if wanted.gpu is None else canonical_gpu(wanted.gpu),
        "provider": wanted.provider and wanted.provider.lower(),
        "tier": wanted.tier and wanted.tier.lower().replace("-", "_"),
        "region": wanted.region,
    }
    for field, name in asked.items():
        if name is not None:
            _must_exist(field, name, {str(getattr(offer, field)) for offer in offers} - {""})
    known = [offer for offer in offers if offer.valid_from <= day] if wanted.every else in_force(offers, day)
    return [
        offer
        for offer in known
        if (offer.gpu_count or wanted.every)
        and asked["gpu_model"] in (None, offer.gpu_model)
        and asked["provider"] in (None, offer.provider)
        and asked["tier"] in (None, offer.tier)
        and (asked["region"] is None or offer.region in ("", asked["region"]))
    ]


def _must_exist(field: str, name: str, known: set[str]) -> None:
    if name in known:
        return
    what = {"gpu_model": "GPU"}.get(field, field)
    near = get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(known))}"
    raise UnknownName(f"no offer has the {what} {name!r}; {hint}")


def ordered(offers: Iterable[Offer], key: str) -> list[Offer]:
    """Sorted by `per-gpu-hour`, `price`, `date` (newest first) or `provider`; what has no such figure comes last."""
    by_id = sorted(offers, key=lambda offer: (offer.id, offer.valid_from))
    if key == "date":
        return sorted(by_id, key=lambda offer: offer.valid_from, reverse=True)
    if key == "price":
        return sorted(by_id, key=lambda offer: offer.usd_per_hour)
    if key == "provider":
        return by_id
    return sorted(by_id, key=lambda offer: (not offer.gpu_count, offer.usd_per_gpu_hour or offer.usd_per_hour))


def print_table(offers: Sequence[Offer], day: date, stale_days: int, *, sources: bool) -> None:
    """For people: a table on a terminal, tab-separated lines otherwise."""
    heads = (*HEADS, *(SOURCE_HEADS if sources else ()))
    rows = [(*_cells(offer, day, stale_days), *((offer.source, offer.note) if sources else ())) for offer in offers]
    if sys.stdout.isatty():
        _rich_table(heads, rows)
    else:
        print("\n".join("\t".join(cells) for cells in (heads, *rows)))
    old = sum(offer.age_days(day) > stale_days for offer in offers)
    summary = f"{len(offers)} offers as known on {day}"
    print(f"{summary}; * {old} of them older than {stale_days} days" if old else summary, file=sys.stderr)


def print_ages(offers: Iterable[Offer], refreshes: Iterable[Refresh], now_s: int) -> None:
    """For each provider that is shown: when it was asked for its prices, or how old what is bundled is."""
    asked: dict[str, int] = {}
    for refresh in refreshes:
        asked[refresh.provider] = max(refresh.at_s, asked.get(refresh.provider, 0))
    newest = {offer.provider: offer.valid_from for offer in sorted(offers, key=lambda offer: offer.valid_from)}
    told = [f"{provider} {age(now_s - asked[provider])} ago" for provider in sorted(newest) if provider in asked]
    bundled = [f"{provider} of {day}" for provider, day in sorted(newest.items()) if provider not in asked]
    if told:
        print(f"asked: {', '.join(told)}", file=sys.stderr)
    if bundled:
        print(f"bundled facts, the newest: {', '.join(bundled)}", file=sys.stderr)


def age(seconds: int) -> str:
    """A time span in the largest unit of which there are at least two."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"


def _rate(usd: Decimal | None) -> str:
    """Dollars with the digits that they are charged with: these rates are small, and a container has many of them."""
    if usd is None:
        return ""
    whole, _, digits = f"{usd:.8f}".partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(4, '0')}"


def _cells(offer: Offer, day: date, stale_days: int) -> tuple[str, ...]:
    per_gpu = offer.usd_per_gpu_hour
    rule = offer.billing
    billed = f"{rule.granularity_s} s" + (f", min {rule.minimum_s} s" if rule.minimum_s > rule.granularity_s else "")
    return (
        offer.id,
        f"{offer.gpu_count:g} {offer.gpu_model}" if offer.gpu_count else "–",
        offer.tier.value,
        f"{per_gpu:.4f}" if per_gpu is not None else "–",
        f"{offer.usd_per_hour:.4f}",
        _rate(offer.usd_per_cpu_hour),
        _rate(offer.usd_per_gib_hour),
        billed,
        f"{offer.valid_from}{'*' if offer.age_days(day) > stale_days else ''}",
    )


def _rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    console = Console()
    shown = _fitting(heads, rows, console.width)
    for at in shown:
        right = at in NUMBERS
        made.add_column(heads[at], justify="right" if right else "left", no_wrap=0 < at < len(HEADS), overflow="fold")
    for row in rows:
        made.add_row(*(Text(row[at], style="yellow" if row[at].endswith("*") else "") for at in shown))
    console.print(made)


def _fitting(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that a terminal has room for: those that say anything, less what can best be done without."""
    shown = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    for name in DISPENSABLE:
        if sum(widths[at] + PADDING for at in shown if at < len(HEADS)) <= width:
            break
        shown = [at for at in shown if heads[at] != name]
    return shown


def print_csv(offers: Sequence[Offer], day: date, stale_days: int) -> None:
    """One line per offer, all that is known of it."""
    rows = [_record(offer, day, stale_days) for offer in offers]
    heads = list(rows[0]) if rows else []
    writer = csv.DictWriter(sys.stdout, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)


def print_json(offers: Sequence[Offer], day: date, stale_days: int) -> None:
    """One array of objects; prices are decimal strings."""
    json.dump([_record(offer, day, stale_days) for offer in offers], sys.stdout, indent=2, ensure_ascii=False)
    print()


def _record(offer: Offer, day: date, stale_days: int) -> dict[str, Any]:
    per_gpu = offer.usd_per_gpu_hour
    return {
        "id": offer.id,
        "provider": offer.provider,
        "product": offer.product,
        "sku": offer.sku,
        "region": offer.region,
        "tier": offer.tier.value,
        "gpu_model": offer.gpu_model,
        "gpu_count": offer.gpu_count,
        "cpus": offer.cpus,
        "memory_gib": offer.memory_gib,
        "usd_per_hour": f"{offer.usd_per_hour:f}",
        "usd_per_gpu_hour": None if per_gpu is None else f"{per_gpu:f}",
        "usd_per_cpu_hour": None if offer.usd_per_cpu_hour is None else f"{offer.usd_per_cpu_hour:f}",
        "usd_per_gib_hour": None if offer.usd_per_gib_hour is None else f"{offer.usd_per_gib_hour:f}",
        "granularity_s": offer.billing.granularity_s,
        "minimum_s": offer.billing.minimum_s,
        "valid_from": offer.valid_from.isoformat(),
        "age_days": offer.age_days(day),
        "stale": offer.age_days(day) > stale_days,
        "source": offer.source,
        "note": offer.note,
    }
