"""Offers of the price book → terms in US dollars, with the billing of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from broker.decide.price_book import PriceBook
from broker.model.errors import InvalidInput
from broker.model.offers import Offer, Tier
from simulator.jobs.terms import Terms
from simulator.prices import known_offers


def priced(terms: Terms, node: str, serverless: str, spot: str | None, day: date) -> Terms:
    """The same terms at the prices and by the billing of these offers, as they were on a day.

    A container has its GPU alone: CPUs and memory that are billed beside it are left out. Raises `PriceMissing` for an
    id that is not known, and `InvalidInput` for offers that are not what they are used for, or of different GPUs.
    """
    book = PriceBook(known_offers())
    held, bought = book.at(node, day), book.at(serverless, day)
    if held.tier is Tier.SERVERLESS or bought.tier is not Tier.SERVERLESS:
        raise InvalidInput(f"{node} must be a node and {serverless} serverless: they are {held.tier}, {bought.tier}")
    taken = book.at(spot, day) if spot else held
    for offer in (held, bought, taken):
        if not offer.gpu_model or offer.gpu_model != held.gpu_model:
            raise InvalidInput(f"{offer.id} has the GPU {offer.gpu_model or 'none'}, {held.id} {held.gpu_model}")
    return replace(
        terms,
        cluster=_per_gpu(held),
        serverless=_per_gpu(bought),
        spot=_per_gpu(taken),
        unit="US dollars",
        node_gpus=held.gpu_count,
        node_minimum_s=float(held.billing.minimum_s),
        node_billing_s=float(max(held.billing.granularity_s, 1)),
        container_minimum_s=float(bought.billing.minimum_s),
        container_billing_s=float(max(bought.billing.granularity_s, 1)),
    )


def _per_gpu(offer: Offer) -> float:
    return float(offer.usd_per_hour) / offer.gpu_count
