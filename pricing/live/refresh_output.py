"""Outcomes of a price refresh → lines as they come, or one JSON array at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable
from typing import Any

from pricing.live.answer import Refused
from pricing.live.refresh import Outcome


def print_outcomes(outcomes: Iterable[Outcome], *, as_json: bool) -> list[Outcome]:
    """Prints each outcome as it comes, and returns them all. A reason that several questions share is printed once."""
    found: list[Outcome] = []
    for outcome in outcomes:
        if not as_json:
            _say(outcome, {str(each.error) for each in found})
        found.append(outcome)
    if as_json:
        json.dump([_record(outcome) for outcome in found], sys.stdout, indent=2, ensure_ascii=False)
        print()
    return found


def _say(outcome: Outcome, errors_before: Collection[str]) -> None:
    if outcome.error is not None:
        print(f"{outcome.part}: no answer", flush=True)
        if str(outcome.error) not in errors_before:
            print(f"error: {outcome.error}", file=sys.stderr, flush=True)
        return
    refused = f", {len(outcome.refused)} refused" if outcome.refused else ""
    left_out = f", {len(outcome.left_out)} left out" if outcome.left_out else ""
    print(f"{outcome.part}: {outcome.offers} prices, {outcome.changed} of them new{refused}{left_out}", flush=True)
    for each in outcome.refused:
        print(f"refused {each.thing}: {each.reason}", file=sys.stderr, flush=True)


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "provider": outcome.part.provider,
        "region": outcome.part.region,
        "tiers": sorted(outcome.part.tiers),
        "offers": outcome.offers,
        "changed": outcome.changed,
        "refused": _reasons(outcome.refused),
        "left_out": _reasons(outcome.left_out),
        "error": None if outcome.error is None else str(outcome.error),
    }


def _reasons(refused: Iterable[Refused]) -> list[dict[str, str]]:
    return [{"thing": each.thing, "reason": each.reason} for each in refused]
