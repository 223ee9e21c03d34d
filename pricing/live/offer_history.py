"""The prices that one offer has had → lines or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from broker.model.errors import UnknownName
from broker.model.offers import Offer
from pricing.live.plausibility import LIVE
from pricing.live.rows import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPrice:
    """One price of an offer, and when it was seen."""

    first: str  # a time (UTC) where a provider was asked, a day where a source gives no more
    last: str
    offer: Offer


def past_prices(offer_id: str, known: Sequence[Offer], asked: Iterable[Seen]) -> list[PastPrice]:
    """All prices of an offer, the oldest first. Raises `UnknownName` with the nearest ids."""
    wanted = offer_id.lower()
    read = [offer for offer in known if offer.id == wanted and not offer.source.startswith(LIVE)]
    found = [PastPrice(first=str(offer.valid_from), last=str(offer.valid_from), offer=offer) for offer in read]
    found += [PastPrice(first=_time(each.first_s), last=_time(each.last_s), offer=each.offer) for each in asked]
    if not found:
        near = get_close_matches(wanted, {offer.id for offer in known}, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "`broker prices --all` lists them"
        raise UnknownName(f"no price of {wanted!r} was ever known; {hint}")
    return sorted(found, key=lambda past: past.first)


def print_lines(prices: Sequence[PastPrice]) -> None:
    """For people: one line a price, with its change from the one before."""
    before = None
    for past in prices:
        usd = past.offer.usd_per_hour
        change = f"{(usd / before - 1) * 100:+.1f}%" if before else ""
        shown = past.first if past.first == past.last else f"{past.first} to {past.last}"
        cells = (shown, f"${usd:f}/h", change, past.offer.source, past.offer.note)
        print("  ".join(cell for cell in cells if cell))
        before = usd


def print_json(prices: Sequence[PastPrice]) -> None:
    """One array of objects; prices are decimal strings."""
    rows = [
        {
            "first_seen": past.first,
            "last_seen": past.last,
            "usd_per_hour": f"{past.offer.usd_per_hour:f}",
            "usd_per_cpu_hour": None if past.offer.usd_per_cpu_hour is None else f"{past.offer.usd_per_cpu_hour:f}",
            "usd_per_gib_hour": None if past.offer.usd_per_gib_hour is None else f"{past.offer.usd_per_gib_hour:f}",
            "source": past.offer.source,
            "note": past.offer.note,
        }
        for past in prices
    ]
    json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
    print()


def _time(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}"
