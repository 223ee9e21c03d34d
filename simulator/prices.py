"""The offers of all installed price sources."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

from broker.model.offers import Offer


def known_offers() -> Iterator[Offer]:
    """Every dated price, ours and others'."""
    for entry_point in entry_points(group="broker.price_sources"):
        yield from entry_point.load()().offers()
