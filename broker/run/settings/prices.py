"""What a pool's price says, and all offers known → the offers that price its nodes or containers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final

from broker.decide.own_hardware import OwnHardware, owned_offer
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.pools import PoolKind
from broker.model.resources import GIB, Resources
from broker.run.settings.pool_document import PricePart
from broker.spec.validation_errors import nearest

_FORMS: Final = ("offer", "provider", "usd_per_hour", "own")
_HEAD: Final = Resources()  # what a head has for attempts
_SMALLEST: Final = Decimal("1e-9")  # dollars, of a part of a price


class WrongPrice(ValueError):
    """What a price says can't be; `field` is the part of it that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def offers_of(
    price: PricePart,
    *,
    pool: str,
    kind: PoolKind,
    unit: Resources,
    gpu_models: Sequence[str],
    offers: Sequence[Offer],
    since: date | None,
    on_nodes: bool = False,
) -> tuple[Offer, ...]:
    """The offers of a price; `since` is the day from which own numbers hold that say none. Raises `WrongPrice`.

    With `on_nodes` its units are on nodes that are there before and after them: they may be priced by these, and are
    by the second.
    """
    given = [form for form in _FORMS if getattr(price, form) is not None]
    if not given and (price.usd_per_cpu_hour or price.usd_per_gib_hour):
        raise WrongPrice("usd_per_hour", "is required beside prices of CPUs and memory: 0 where nothing else is paid")
    if len(given) != 1:
        what = " and ".join(given) or "nothing"
        raise WrongPrice("", f"gives {what}: give one of {', '.join(_FORMS)}")
    since = price.as_of or since or datetime.now(UTC).date()
    if price.offer is not None:
        return _of_book(price, kind, unit, gpu_models, offers, on_nodes)
    if price.provider is not None:
        return _of_provider(price, kind, gpu_models, offers)
    if price.own is not None:
        return (_owned(price, pool, kind, unit, since),)
    return tuple(_own_numbers(price, pool, kind, unit, gpu_models, since))


def _of_book(
    price: PricePart,
    kind: PoolKind,
    unit: Resources,
    gpu_models: Sequence[str],
    offers: Sequence[Offer],
    on_nodes: bool,
) -> tuple[Offer, ...]:
    """Every dated price of one offer, times what a node is worth of it, or the largest container that shares one."""
    wanted = str(price.offer).lower()
    found = tuple(offer for offer in offers if offer.id == wanted)
    if not found:
        near = nearest(wanted, (offer.id for offer in offers), at_most=3)
        raise WrongPrice("offer", f"unknown offer {wanted!r}; {_near(near, '`broker prices` lists them')}")
    one = found[0]
    of_nodes = one.tier is not Tier.SERVERLESS
    if of_nodes == (kind is PoolKind.SERVERLESS) and not (of_nodes and on_nodes):
        raise WrongPrice("offer", f"{one.id} is a price of {one.tier.value}, which is none of a {kind.value} pool")
    if not of_nodes:
        if price.count not in (None, 1):
            raise WrongPrice("count", "is for nodes: a container is billed by what it has")
        return found
    _match(one, price.count or 1, unit, gpu_models)
    if not on_nodes:
        return tuple(_times(offer, Fraction(price.count or 1)) for offer in found)
    alone = kind is PoolKind.CLUSTER  # a head, which has its node for itself
    times = Fraction(price.count or 1) if price.count or alone else Fraction(1, _that_fit(one, unit))
    return tuple(replace(_times(offer, times), billing=BillingRule()) for offer in found)


def _match(offer: Offer, count: int, unit: Resources, gpu_models: Sequence[str]) -> None:
    """Refuses the price of another node than the pool has: its usage would be charged wrong."""
    has = f"{offer.gpu_count:g} {offer.gpu_model}" if offer.gpu_model else "no GPU"
    if unit.gpus and offer.gpu_model not in gpu_models:
        raise WrongPrice("offer", f"{offer.id} is the price of a node with {has}, not of {', '.join(gpu_models)}")
    if unit.gpus > offer.gpu_count * count:
        hint = f"say count = {ceil(unit.gpus / offer.gpu_count)} if it is worth that many of them"
        raise WrongPrice("offer", f"{offer.id} is the price of {has}, and a node here has {unit.gpus:g}: {hint}")


def _that_fit(offer: Offer, unit: Resources) -> int:
    """How many of the largest containers of a pool a node has room for, by all that the offer says of it."""
    gpus, gib = ("GPUs", offer.gpu_count, unit.gpus), ("GiB", offer.memory_gib, unit.memory_bytes / GIB)
    parts = (gpus, ("CPUs", offer.cpus, unit.cpus), gib)
    said = [(what, has, wanted) for what, has, wanted in parts if has is not None and wanted]
    if not said:
        raise WrongPrice("count", f"is required: {offer.id} does not say what a node has")
    for what, has, wanted in said:
        if wanted > has + 1e-9:
            fits = f"is the price of a node with {has:g} {what}, and a container here may have {wanted:g}"
            raise WrongPrice("offer", f"{offer.id} {fits}: say less, or count, if it is worth several")
    return min(floor(has / wanted + 1e-9) for _, has, wanted in said)


def _times(offer: Offer, times: Fraction) -> Offer:
    """The offer of what is worth so many of this one, or such a part of it."""
    if times == 1:
        return offer
    name = f"{times}x" if times > 1 else f"{times.numerator}of{times.denominator}"
    provider, product, first, *rest = offer.id.split("/")
    exact = offer.usd_per_hour * times.numerator / times.denominator
    rounded = exact.quantize(_SMALLEST)
    return replace(
        offer,
        id="/".join((provider, product, f"{name}-{first}", *rest)),
        sku=f"{name}-{offer.sku}",
        gpu_count=offer.gpu_count * float(times),
        cpus=offer.cpus and offer.cpus * float(times),
        memory_gib=offer.memory_gib and offer.memory_gib * float(times),
        usd_per_hour=exact if exact == rounded else rounded,
        note="; ".join(part for part in (f"{times} of {offer.id}", offer.note) if part),
    )


def _of_provider(
    price: PricePart, kind: PoolKind, gpu_models: Sequence[str], offers: Sequence[Offer]
) -> tuple[Offer, ...]:
    """All that one product of a provider asks for serverless GPUs, CPUs and memory in one region."""
    if kind is not PoolKind.SERVERLESS:
        raise WrongPrice("provider", "prices serverless pools; name one offer for a cluster")
    everything = [offer for offer in offers if offer.tier is Tier.SERVERLESS]
    sold = everything
    for field in ("provider", "product", "region"):
        sold = _narrowed(sold, field, getattr(price, field))
    if price.gpus_of is not None:
        sold += _with_gpus_of(price, sold, everything)
    priced = {offer.gpu_model for offer in sold}
    if missing := [model for model in gpu_models if model not in priced]:
        there = ", ".join(sorted(model for model in priced if model)) or "no GPU"
        raise WrongPrice("provider", f"has no serverless price for {', '.join(missing)}; it has: {there}")
    return tuple(offer for offer in sold if not offer.gpu_model or offer.gpu_model in gpu_models)


def _with_gpus_of(price: PricePart, sold: list[Offer], everything: list[Offer]) -> list[Offer]:
    """GPUs of another product of the provider, with the rates that this one has for CPUs and memory."""
    bare = next((offer for offer in sold if not offer.gpu_model), None)
    if bare is None:
        raise WrongPrice("gpus_of", f"{price.product} says no price of CPUs and memory without a GPU")
    others = _narrowed(_narrowed(everything, "provider", price.provider), "product", price.gpus_of)
    return [
        replace(
            offer,
            id="/".join([offer.provider, bare.product, *offer.id.split("/")[2:]]),
            product=bare.product,
            usd_per_cpu_hour=bare.usd_per_cpu_hour,
            usd_per_gib_hour=bare.usd_per_gib_hour,
            valid_from=max(offer.valid_from, bare.valid_from),
            source="; ".join(dict.fromkeys((offer.source, bare.source))),
            note=f"the GPU as in {offer.product}, CPUs and memory as in {bare.product}",
        )
        for offer in others
        if offer.gpu_model and offer.region == bare.region
    ]


def _narrowed(sold: list[Offer], field: str, wanted: str | None) -> list[Offer]:
    """Those with this value of a field; one value there must be, for the cheapest would be taken unseen."""
    known = sorted({str(getattr(offer, field)) for offer in sold})
    there = f"there are: {', '.join(known) or 'none'}"
    if wanted is None and len(known) > 1:
        raise WrongPrice(field, f"is required: {there}")
    if wanted is None:
        return sold
    found = [offer for offer in sold if str(getattr(offer, field)).lower() == wanted.lower()]
    if not found:
        near = nearest(wanted, known, at_most=3)
        raise WrongPrice(field, f"no serverless offer has {field} {wanted!r}; {_near(near, there)}")
    return found


def _own_numbers(
    price: PricePart, pool: str, kind: PoolKind, unit: Resources, gpu_models: Sequence[str], since: date
) -> Iterable[Offer]:
    if price.source is None:
        raise WrongPrice("source", "is required: say where usd_per_hour comes from")
    if unit != _HEAD and not any(Decimal(rate or 0) for rate in _rates(price)):
        raise WrongPrice("usd_per_hour", "is 0, and nothing else is paid: only a head may cost nothing")
    serverless = kind is PoolKind.SERVERLESS
    for model in gpu_models or ("",):
        yield Offer(
            id="/".join(("configured", "pool", pool, *([model.lower()] if serverless and model else []), "on_demand")),
            provider="configured",
            product="pool",
            sku=pool,
            region="",
            tier=Tier.SERVERLESS if serverless else Tier.ON_DEMAND,
            gpu_model=model,
            gpu_count=1.0 if serverless and model else unit.gpus,
            cpus=None if serverless else unit.cpus,
            memory_gib=None if serverless else unit.memory_bytes / GIB,
            usd_per_hour=Decimal(price.usd_per_hour or 0),
            usd_per_cpu_hour=Decimal(price.usd_per_cpu_hour) if price.usd_per_cpu_hour else None,
            usd_per_gib_hour=Decimal(price.usd_per_gib_hour) if price.usd_per_gib_hour else None,
            billing=BillingRule(granularity_s=price.granularity, minimum_s=price.minimum),
            valid_from=since,
            source=price.source,
        )


def _rates(price: PricePart) -> tuple[str | None, ...]:
    return price.usd_per_hour, price.usd_per_cpu_hour, price.usd_per_gib_hour


def _near(near: Sequence[str], otherwise: str) -> str:
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def _owned(price: PricePart, pool: str, kind: PoolKind, unit: Resources, since: date) -> Offer:
    if kind is not PoolKind.CLUSTER or price.own is None:
        raise WrongPrice("own", "prices the nodes of a cluster; a serverless pool needs an offer or usd_per_hour")
    if price.own.residual_usd > price.own.purchase_usd:
        raise WrongPrice("own.residual_usd", "is more than purchase_usd: it can't be sold for more than it cost")
    own = OwnHardware(**{name: Decimal(str(value)) for name, value in price.own})
    return owned_offer(own, name=pool, unit=unit, since=since, source=price.source or "the configuration")
