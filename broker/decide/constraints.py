"""A job and a pool → what each of its nodes would hold there, or why it may not or can't run there.

Nothing here looks at prices: what a job demands of a place is never traded for money. What it does not ask for is
given by rule: one virtual CPU, and memory in proportion to its CPUs. A fraction of a GPU is shared in a cluster; a
container has whole GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from broker.decide.spot import is_spot
from broker.decide.wording import cpus, gibibytes, number
from broker.model.environment import image_title
from broker.model.jobs import JobSpec
from broker.model.placement import Refusal
from broker.model.pools import Capability, Isolation, Pool, PoolKind
from broker.model.resources import Gpu, Resources

DEFAULT_CPUS: Final = 1.0
_MIB: Final = 1024**2
_SMALLEST_SHARE: Final = 1 / 1024  # of a GPU


def resolve(spec: JobSpec, pool: Pool) -> tuple[tuple[Resources, ...], tuple[Refusal, ...]]:
    """The ways in which a job could run in a pool, as resources per node, and why it can't in others.

    There is a way for each GPU choice that the pool has, in the job's order. No way means that the pool is refused.
    """
    forbidden = tuple(_forbidden(spec, pool))
    if forbidden:
        return (), forbidden
    ways: dict[Resources, None] = {}
    refused: list[Refusal] = []
    for gpus, model in _gpus(spec, pool):
        need = _resources(spec, pool, gpus, model)
        too_large = tuple(_too_large(spec, pool, need))
        refused += too_large
        if not too_large:
            ways[need] = None
    return tuple(ways), tuple(refused)


def preference(spec: JobSpec, resources: Resources) -> int:
    """The place of resources in the job's order of GPU choices; 0 for all when any will do."""
    if not spec.resources.gpu_ordered:
        return 0
    for place, gpu in enumerate(spec.resources.gpu_choices):
        if gpu.model in ("", resources.gpu_model) and resources.gpus in (gpu.count, ceil(gpu.count)):
            return place
    return len(spec.resources.gpu_choices)


def held_gpus(count: float) -> float:
    """What a request keeps from others, in GPUs: fractions count as the next power of 1/2.

    Requests so rounded can be packed on single GPUs whenever their sum has room, which raw fractions can't. None holds
    less than `_SMALLEST_SHARE`.
    """
    if not 0 < count < 1:
        return count
    held = 1.0
    while held > _SMALLEST_SHARE and held / 2 >= count - 1e-9:
        held /= 2
    return held


def _forbidden(spec: JobSpec, pool: Pool) -> Iterator[Refusal]:
    yield from _by_place(spec, pool)
    yield from _by_capability(spec, pool)
    yield from _by_tier(spec, pool)


def _by_place(spec: JobSpec, pool: Pool) -> Iterator[Refusal]:
    allowed, denied = spec.pools_allowed, spec.pools_denied
    if allowed and not any(_names(entry, pool) for entry in allowed):
        yield _refusal(pool, "pools", f"the job allows only {', '.join(allowed)}", pool.name, ", ".join(allowed))
    if any(_names(entry, pool) for entry in denied):
        yield _refusal(pool, "pools", "the job denies this pool", pool.name, f"not {', '.join(denied)}")
    if spec.regions and not any(_inside(pool.region, region) for region in spec.regions):
        where = pool.region or "an unknown region"
        wanted = ", ".join(spec.regions)
        yield _refusal(pool, "region", f"the job must stay in {wanted}; the pool is in {where}", where, wanted)
    if spec.isolation is Isolation.DEDICATED and pool.isolation is not Isolation.DEDICATED:
        message = "the job must run on dedicated infrastructure; the pool shares it with other customers"
        yield _refusal(pool, "isolation", message, pool.isolation, spec.isolation)


def _names(entry: str, pool: Pool) -> bool:
    name, _, region = entry.partition("/")
    return name == pool.name and (not region or _inside(pool.region, region))


def _inside(region: str, wanted: str) -> bool:
    """`eu-west-1` is inside `eu-west-1`, `eu-west` and `eu`; an unknown region is inside none."""
    return region == wanted or region.startswith(f"{wanted}-")


def _by_capability(spec: JobSpec, pool: Pool) -> Iterator[Refusal]:
    nodes, image = spec.resources.num_nodes, image_title(spec.image or "")
    needs = (
        (spec.runtime == "ray", Capability.RAY_RUNTIME, "runtime", "the job is a Ray program; the pool has no Ray"),
        (spec.function is not None, Capability.FUNCTIONS, "function", "the job is a Python call; the pool takes none"),
        (spec.image is not None, Capability.IMAGES, "image", f"it needs {image}; the pool takes no images"),
        (
            bool(spec.system_packages),
            Capability.IMAGES,
            "system_packages",
            f"it needs the Debian packages {', '.join(spec.system_packages)}; the pool builds no images",
        ),
        (
            bool(spec.secret_files),
            Capability.SECRET_FILES,
            "secret_files",
            f"it needs the secret {', '.join(sorted(set(spec.secret_files.values())))} in a file; the pool makes none",
        ),
        (bool(spec.resources.extra), Capability.RAY_RUNTIME, "extra", "custom resources exist on Ray clusters only"),
        (nodes > 1, Capability.GANG, "nodes", f"it needs {nodes} nodes at once; the pool starts one at a time"),
    )
    for needed, capability, constraint, message in needs:
        if needed and capability not in pool.capabilities:
            yield _refusal(pool, constraint, message, "", capability)
    if spec.volumes and (Capability.VOLUMES not in pool.capabilities or pool.volumes != spec.volumes_at):
        names = ", ".join(sorted(set(spec.volumes.values())))
        there = f"has volumes at {pool.volumes}" if pool.volumes else "has no volumes"
        message = f"it needs the volume {names}, which is at {spec.volumes_at}; the pool {there}"
        yield _refusal(pool, "volumes", message, pool.volumes, spec.volumes_at)
    elif spec.volumes_read_only and Capability.READ_ONLY_VOLUMES not in pool.capabilities:
        names = ", ".join(spec.volumes_read_only)
        message = f"its project {spec.project} may only read the volume {names}; the pool keeps no job from writing"
        yield _refusal(pool, "volumes", message, "", Capability.READ_ONLY_VOLUMES)
    if nodes > pool.max_units:
        message = f"it needs {number(nodes)} nodes; the pool has {number(pool.max_units)} at most"
        yield _refusal(pool, "nodes", message, number(pool.max_units), number(nodes))


def _by_tier(spec: JobSpec, pool: Pool) -> Iterator[Refusal]:
    if spec.resources.spot_policy == "spot" and not is_spot(pool):
        yield _refusal(pool, "spot", "the job wants spot capacity; the pool is not bought as spot", "", "spot")
    if spec.resources.spot_policy == "on-demand" and is_spot(pool):
        yield _refusal(pool, "spot", "the job must not run on spot capacity; the pool is spot", "spot", "on-demand")


def _gpus(spec: JobSpec, pool: Pool) -> Iterator[tuple[float, str]]:
    """Number and model of GPUs per node, for each choice of the job and each model of the pool that meets it."""
    choices = spec.resources.gpu_choices or (Gpu(model="", count=0.0),)
    for choice in choices:
        if not choice.count:
            yield 0.0, ""
            continue
        count = float(ceil(choice.count)) if pool.kind is PoolKind.SERVERLESS else choice.count
        fraction = choice.count > 1 and choice.count != int(choice.count)
        models = [choice.model] if choice.model else _models(pool)
        for model in models or [""]:
            yield (choice.count if fraction else count), model


def _models(pool: Pool) -> list[str]:
    return list(pool.gpu_models) or ([pool.unit.gpu_model] if pool.unit.gpu_model else [])


def _resources(spec: JobSpec, pool: Pool, gpus: float, model: str) -> Resources:
    asked, unit = spec.resources, pool.unit
    held_cpus = asked.cpus if asked.cpus is not None else min(DEFAULT_CPUS, unit.cpus)
    memory = asked.memory_bytes
    if memory is None:
        share = min(held_cpus / unit.cpus, 1.0) if unit.cpus else 1.0
        memory = int(unit.memory_bytes * share) // _MIB * _MIB
    return Resources(
        cpus=held_cpus,
        memory_bytes=memory,
        gpus=gpus,
        gpu_model=model if gpus else "",
        disk_bytes=asked.disk_bytes or 0,
    )


def _too_large(spec: JobSpec, pool: Pool, need: Resources) -> Iterator[Refusal]:
    unit, word = pool.unit, "node" if pool.kind is PoolKind.CLUSTER else "container"
    if need.gpus:
        yield from _gpus_missing(pool, need, word)
    if need.cpus > unit.cpus + 1e-9:
        have, wanted = cpus(unit.cpus), cpus(need.cpus)
        yield _refusal(pool, "cpus", f"it needs {wanted}; a {word} has {have}", have, wanted)
    if need.memory_bytes > unit.memory_bytes:
        have, wanted = gibibytes(unit.memory_bytes), gibibytes(need.memory_bytes)
        yield _refusal(pool, "memory", f"it needs {wanted} of memory; a {word} has {have}", have, wanted)
    if need.disk_bytes > unit.disk_bytes:
        have, wanted = gibibytes(unit.disk_bytes) if unit.disk_bytes else "", gibibytes(need.disk_bytes)
        there = f"a {word} has {have}" if have else f"the pool does not say how much a {word} has"
        yield _refusal(pool, "disk", f"it needs {wanted} of disk; {there}", have, wanted)


def _gpus_missing(pool: Pool, need: Resources, word: str) -> Iterator[Refusal]:
    models = _models(pool)
    wanted = f"{number(need.gpus)} {need.gpu_model or 'GPU'}"
    have = f"{number(pool.unit.gpus)} {' or '.join(models) or 'GPU'}" if pool.unit.gpus else "none"
    if need.gpus > 1 and need.gpus != int(need.gpus):
        message = f"it asks for {number(need.gpus)} GPUs: a fraction shares one GPU, more than one must be whole"
        yield _refusal(pool, "gpus", message, have, wanted)
    elif not pool.unit.gpus or need.gpu_model not in models:
        yield _refusal(pool, "gpu_model", f"it needs {wanted}; a {word} has {have}", have, wanted)
    elif need.gpus > pool.unit.gpus + 1e-9:
        yield _refusal(pool, "gpus", f"it needs {wanted}; a {word} has {have}", have, wanted)


def _refusal(pool: Pool, constraint: str, message: str, have: str, need: str) -> Refusal:
    return Refusal(pool=pool.name, constraint=constraint, message=message, have=str(have), need=str(need))
