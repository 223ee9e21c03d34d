"""The offers of all installed price sources, ours and others'."""

from __future__ import annotations

from importlib.metadata import entry_points

from broker.model.offers import Offer


def known_offers() -> tuple[Offer, ...]:
    """Every dated price, source by source. Raises `PriceMissing` when a source can't be read."""
    return tuple(offer for _, offers in by_source() for offer in offers)


def by_source() -> list[tuple[str, tuple[Offer, ...]]]:
    """The offers of each source, by its name, in the order of names."""
    sources = sorted(entry_points(group="broker.price_sources"), key=lambda found: found.name)
    return [(source.name, tuple(source.load()().offers())) for source in sources]
