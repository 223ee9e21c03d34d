"""What an attempt holds → the container to request from Modal: GPU by Modal's name, physical cores, MiB, seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import Any, Final

from broker.model.errors import Rejected
from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool
from broker.model.resources import Resources
from executors.modal_pool.options import DAY_S, Options

_MIB: Final = 1024**2
_LEAST_CORES: Final = 0.125
_LEAST_MIB: Final = 128
_GPUS: Final = {"A10G": "A10"}  # where Modal's name is another


def shape(resources: Resources) -> dict[str, Any]:
    """CPU, memory and GPU as Modal's calls take them. What is asked for is also the limit, so that it is the bill."""
    cores = max(resources.cpus / 2, _LEAST_CORES)
    memory = max(ceil(resources.memory_bytes / _MIB), _LEAST_MIB)
    model = _GPUS.get(resources.gpu_model, resources.gpu_model)
    return {
        "cpu": (cores, cores),
        "memory": (memory, memory),
        "gpu": f"{model}:{resources.gpus:g}" if resources.gpus else None,
    }


def paid(resources: Resources) -> Resources:
    """What is billed: at least Modal's minimum of CPU and memory."""
    return replace(
        resources,
        cpus=max(resources.cpus, 2 * _LEAST_CORES),
        memory_bytes=max(resources.memory_bytes, _LEAST_MIB * _MIB),
    )


def timeout_s(request: LaunchRequest, options: Options) -> int:
    """Seconds after which Modal itself ends the container: a safety net beyond the limits kept inside it."""
    most = request.spec.max_duration_s
    return DAY_S if most is None else min(ceil(most + options.startup_s), DAY_S)


def check(request: LaunchRequest, pool: Pool, options: Options, python: str) -> None:
    """Raises `Rejected` for what can never run here."""
    spec, name, asked = request.spec, pool.name, request.resources
    if spec.resources.num_nodes > 1:
        raise Rejected(f"pool {name} runs jobs of one node only, not of {spec.resources.num_nodes}")
    if spec.runtime == "ray":
        raise Rejected(f"pool {name} has no Ray runtime")
    if spec.function and spec.function.python != python and not spec.image:
        raise Rejected(f"pool {name} runs functions of Python {python}, not {spec.function.python}")
    if asked.gpus != int(asked.gpus):
        raise Rejected(f"pool {name}: a container has whole GPUs, not {asked.gpus:g}")
    models = {pool.unit.gpu_model, *pool.gpu_models}
    if asked.gpus and asked.gpu_model and asked.gpu_model not in models:
        raise Rejected(f"pool {name} has no {asked.gpu_model}")
    if not pool.unit.fits(Resources(cpus=asked.cpus, memory_bytes=asked.memory_bytes, gpus=asked.gpus)):
        raise Rejected(
            f"pool {name}: a container has at most {pool.unit.cpus:g} CPUs, {pool.unit.memory_bytes / 2**30:.3g} GiB "
            f"and {pool.unit.gpus:g} GPUs, not {asked.cpus:g}, {asked.memory_bytes / 2**30:.3g} GiB and {asked.gpus:g}"
        )
    if (spec.max_duration_s or 0) + options.startup_s > DAY_S and spec.max_duration_s:
        raise Rejected(f"pool {name}: Modal ends a container after {DAY_S / 3600:g} hours, set-up included")


def alternatives(request: LaunchRequest, pool: Pool) -> Iterator[Resources]:
    """The resources to try, in order: those that were decided, then the job's other GPU choices that this pool has.

    A job with a limit on its cost gets no dearer GPU than the decision counted with.
    """
    decided = request.resources
    yield decided
    models = {pool.unit.gpu_model, *pool.gpu_models} - {""}
    dated = sorted(pool.offers, key=lambda offer: offer.valid_from)
    prices = {offer.gpu_model: offer.usd_per_hour for offer in dated if offer.gpu_model}  # the newest of each
    limited = request.spec.max_cost_usd or request.spec.resources.max_hourly_cost
    most = _rate(prices, decided)
    for choice in request.spec.resources.gpu_choices:
        for model in [choice.model] if choice.model else sorted(models):
            other = replace(decided, gpu_model=model, gpus=float(ceil(choice.count)))
            if other == decided or model not in models or other.gpus > pool.unit.gpus or not decided.gpus:
                continue
            rate = _rate(prices, other)
            if not limited or (most is not None and rate is not None and rate <= most):
                yield other


def _rate(prices: Mapping[str, Decimal], resources: Resources) -> Decimal | None:
    price = prices.get(resources.gpu_model)
    return None if price is None else price * Decimal(str(resources.gpus))
