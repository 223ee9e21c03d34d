"""Numbers → the words in which decisions are explained."""

from __future__ import annotations

from typing import Final

from broker.model.offers import Offer, Tier

_TERMS: Final = {
    Tier.ON_DEMAND: "on demand",
    Tier.SPOT: "spot",
    Tier.COMMIT_1Y: "1-year",
    Tier.COMMIT_3Y: "3-year",
    Tier.SERVERLESS: "",
}


def seconds(value: float) -> str:
    """A time for people: `0.3 s`, `12 s`, `3.5 min`, `2 h`, `1.5 days`."""
    if value < 119.5:
        return f"{_short(value)} s"
    if value < 59.5 * 60:
        return f"{_short(value / 60)} min"
    if value < 48 * 3_600:
        return f"{_short(value / 3_600)} h"
    return f"{_short(value / 86_400)} days"


def gibibytes(value: int) -> str:
    """An amount of memory for people: `1.5 GiB`."""
    return f"{_short(value / 2**30)} GiB"


def cpus(value: float) -> str:
    """Virtual CPUs for people: `1 CPU`, `2.5 CPUs`."""
    return several(value, "CPU")


def several(value: float, one: str) -> str:
    """A count of things for people: `1 node`, `2 nodes`."""
    return f"{number(value)} {one}{'' if value == 1 else 's'}"


def start(in_s: float) -> str:
    """When something starts: `starts at once`, `starts in 12 s`."""
    return f"starts in {seconds(in_s)}" if in_s else "starts at once"


def offered(offer: Offer) -> str:
    """An offer by the name that people know it by: `aws H100 3-year`, `aws H100 on demand`, `modal H100`."""
    return " ".join(filter(None, (offer.provider, offer.gpu_model, _TERMS[offer.tier])))


def number(value: float) -> str:
    """A count for people: whole when it is whole, thousands apart."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"


def _short(value: float) -> str:
    if value >= 9.95 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.095 else f"{value:.2g}"
