"""A pool's prices against what its containers are: Modal asks three times as much for a sandbox's CPU and memory."""

from __future__ import annotations

from typing import Final

from broker.model.errors import Misconfigured
from broker.model.pools import Pool
from executors.modal_pool.options import Options

_PRICES: Final = {
    "sandbox": '{ provider = "modal", product = "sandbox", gpus_of = "functions" }',
    "functions": '{ provider = "modal", product = "functions" }',
}


def check_prices(pool: Pool, options: Options, product: str) -> None:
    """Raises `Misconfigured` where charges would be wrong: the price of another product, or none for a region."""
    for offer in pool.offers:
        if offer.provider != "modal":
            continue
        if offer.product != product:
            raise Misconfigured(
                f"pool {pool.name}: its executor {pool.executor} uses Modal's product {product!r}, and its price is "
                f"that of {offer.product!r}: say price = {_PRICES[product]}"
            )
        if options.region and offer.region in ("", "auto"):
            raise Misconfigured(
                f"pool {pool.name}: Modal asks more for a choice of region than {offer.id} says: give the price by "
                "usd_per_hour, usd_per_cpu_hour and usd_per_gib_hour (1.5 times as much for us, eu, ap; 1.75 times "
                "for a narrower region), or leave option region out"
            )
