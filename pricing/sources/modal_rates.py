"""Modal asked for the rates of a workspace, by its own client → offers of functions, and of sandboxes without GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from broker.model.offers import BillingRule, Offer, Tier
from broker.model.resources import canonical_gpu
from pricing.catalog_format import offer_id
from pricing.live.amounts import Unusable, amount, exact
from pricing.live.answer import Answer, Asked, Failure, Part, Refused
from pricing.live.attempts import Found, ask
from pricing.sources.modal_calls import of_workspace

SOURCE: Final = "live: Modal, Workspace.billing.rates"
CPUS_PER_CORE: Final = 2  # a rate is of a physical core
GPU: Final = "gpu_hour_cost_"
RATES: Final = {  # of a product without GPUs: a core, a GiB
    "functions": ("cpu_hour_cost", "mem_gib_hour_cost"),
    "sandbox": ("cpu_hour_cost_sandbox", "mem_gib_hour_cost_sandbox"),
}
SKUS: Final = {"a10g": "A10", "rtx6000": "RTXPRO6000"}  # where a rate's name is another than that of the GPU


class Modal:
    """The provider `modal`."""

    name = "modal"

    def answers(self, asked: Asked) -> Iterator[Answer | Failure]:
        """Needs a token that may read the workspace's billing."""
        part = Part(provider="modal", region="", tiers=frozenset({Tier.SERVERLESS}))
        yield ask(part, lambda: offers(of_workspace("rates", _rates), asked.day))


def offers(rates: Mapping[str, object], day: date) -> Found:
    """The offers of a rate card, each rate of which is dollars per hour. Pure."""
    found: list[Offer] = []
    refused: list[Refused] = []
    functions: tuple[Decimal, Decimal] | None = None
    for product in RATES:
        try:
            per_cpu, per_gib = _of_container(rates, product)
            found.append(_offer(product, "cpu", "", Decimal(0), (per_cpu, per_gib), day))
            functions = functions or ((per_cpu, per_gib) if product == "functions" else None)
        except Unusable as error:
            refused.append(Refused(thing=f"modal {product}", reason=str(error)))
    for name in sorted(rate for rate in rates if rate.startswith(GPU)):
        sku = SKUS.get(written := name.removeprefix(GPU), written.replace("_", "-").upper())
        try:
            if functions is None:
                raise Unusable("can't be priced without the rates of CPUs and memory")
            found.append(_offer("functions", sku, canonical_gpu(sku), amount(rates[name]), functions, day))
        except Unusable as error:
            refused.append(Refused(thing=f"modal {sku}", reason=str(error)))
    return found, refused


def _of_container(rates: Mapping[str, object], product: str) -> tuple[Decimal, Decimal]:
    """What a virtual CPU and a GiB of a product cost. Raises `Unusable`."""
    core, gib = RATES[product]
    if missing := [name for name in (core, gib) if name not in rates]:
        raise Unusable(f"states no {' and no '.join(missing)}")
    return exact(amount(rates[core]) / CPUS_PER_CORE), amount(rates[gib])


def _offer(product: str, sku: str, model: str, usd: Decimal, container: tuple[Decimal, Decimal], day: date) -> Offer:
    return Offer(
        id=offer_id("modal", product, sku, "auto", Tier.SERVERLESS),
        provider="modal",
        product=product,
        sku=sku,
        region="auto",
        tier=Tier.SERVERLESS,
        gpu_model=model,
        gpu_count=1 if model else 0,
        cpus=None,
        memory_gib=None,
        usd_per_hour=usd,
        usd_per_cpu_hour=container[0],
        usd_per_gib_hour=container[1],
        billing=BillingRule(),
        valid_from=day,
        source=SOURCE,
        note="without a region; a chosen region costs more",
    )


async def _rates(workspace: Any) -> Mapping[str, object]:
    return dict((await workspace.billing.rates.aio()).items())
