"""A job that is well-formed → what contradicts itself in it, or names what does not exist.

What only some callers know (the time, the models and pools that exist) is checked where they say it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from broker.model.environment import copied, is_dockerfile
from broker.model.resources import GPU_MEMORY_GIB
from broker.spec.document import JobDocument
from broker.spec.footprint import excess, footprint, own_tags
from broker.spec.quantities import NS_PER_S, deadline_ns, plain
from broker.spec.source import Keys
from broker.spec.validation_errors import nearest

MAX_GPUS: Final = 4_096
MOST: Final[dict[Keys, int]] = {
    ("tags",): 64,
    ("secrets",): 128,
    ("secret_files",): 128,
    ("volumes",): 128,
    ("file_mounts",): 1_000,
    ("resources", "accelerators"): 64,
    ("placement", "pools"): 1_000,
    ("placement", "not_pools"): 1_000,
    ("placement", "regions"): 1_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a job is checked against. None: that is not checked."""

    now_ns: int | None = None
    gpu_models: Collection[str] | None = None  # of pools; the models that the broker knows are added
    pools: Collection[str] | None = None


Found = Iterator[tuple[Keys, str]]


def contradictions(job: JobDocument, world: World) -> Found:
    """Where a job contradicts itself or names what does not exist, and what is wrong."""
    too_many = list(_many(job))
    yield from too_many
    if too_many:
        return  # what comes next looks at each of them
    yield from _command(job)
    yield from _environment(job)
    yield from _image(job)
    yield from _paths(job)
    yield from _tasks(job)
    yield from _times(job)
    yield from _resources(job, world.gpu_models)
    yield from _pools(job, world.pools)
    if world.now_ns is not None:
        yield from _deadline(job, world.now_ns)


def _command(job: JobDocument) -> Found:
    given = [name for name in ("run", "argv", "function") if getattr(job, name)]
    if not given:
        yield (), "nothing to run: give run, or a command after --"
    elif len(given) > 1:
        yield (given[1],), f"{given[0]} is given too: a job runs one of them"
    if job.argv and not job.argv[0].strip():
        yield ("argv", 0), "the program has no name"


def _environment(job: JobDocument) -> Found:
    for name in job.secrets:
        if name in job.envs or name in job.matrix:
            yield ("secrets",), f"{name} is an environment variable with a value, too: keep one"
    for name in job.secret_files:
        if name in job.envs or name in job.matrix or name in job.secrets:
            yield ("secret_files", name), "is an environment variable with a value, too: keep one"
    for name in job.matrix:
        if name in job.envs:
            yield ("matrix", name), "is set in envs, too: keep one"


def _image(job: JobDocument) -> Found:
    if job.image and not job.workdir and is_dockerfile(job.image) and (paths := copied(job.image)):
        yield ("image",), f"copies {paths[0]}, and files come from the job's workdir: say workdir"


def _paths(job: JobDocument) -> Found:
    """Nothing can be at the place of a volume, or inside it, but what is in the volume."""
    places = {path: PurePosixPath(path.removeprefix("~/").lstrip("/")) for path in (*job.volumes, *job.file_mounts)}
    volumes = {places[path]: path for path in job.volumes}
    for path, place in places.items():
        for above in (place, *place.parents):
            if (volume := volumes.get(above, path)) != path:
                yield ("volumes", volume), f"is a volume, and {path} would be inside it: give it another path"
    for path in job.volumes:
        if path in job.file_mounts:
            yield ("volumes", path), "is in file_mounts, too: keep one"


def _tasks(job: JobDocument) -> Found:
    if empty := [name for name, values in job.matrix.items() if not values]:
        yield ("matrix", empty[0]), "has no values: there would be no task"
        return
    for field, message in excess(footprint(job)):
        yield (field,), f"{message} of one job"


def _many(job: JobDocument) -> Found:
    gpus, place = job.resources.accelerators, job.placement
    named: dict[Keys, Collection[object]] = {
        ("tags",): own_tags(job),
        ("secrets",): job.secrets,
        ("secret_files",): job.secret_files,
        ("volumes",): job.volumes,
        ("file_mounts",): job.file_mounts,
        ("resources", "accelerators"): gpus.choices if gpus else (),
        **{("placement", field): getattr(place, field) for field in ("pools", "not_pools", "regions")},
    }
    for keys, most in MOST.items():
        if len(named[keys]) > most:
            yield keys, f"are {len(named[keys]):,}, and {most:,} are the most of one job"


def _times(job: JobDocument) -> Found:
    if job.est_runtime and job.max_duration and job.est_runtime > job.max_duration:
        yield (
            ("est_runtime",),
            f"is {plain(job.est_runtime)} s, longer than max_duration ({plain(job.max_duration)} s): it would be ended",
        )
    if job.retry.backoff > job.retry.max_backoff:
        yield ("retry", "max_backoff"), f"is less than backoff ({plain(job.retry.backoff)} s)"


def _resources(job: JobDocument, models: Collection[str] | None) -> Found:
    keys = ("resources", "accelerators")
    wanted = job.resources.accelerators
    for gpu in wanted.choices if wanted else ():
        total = gpu.count * job.resources.num_nodes
        if total > MAX_GPUS:
            yield (
                keys,
                f"{plain(total)} GPUs on all nodes are more than {MAX_GPUS}, the most of one job",
            )
        known = {*GPU_MEMORY_GIB, *(models or ())}
        if models is not None and gpu.model and gpu.model not in known:
            near = nearest(gpu.model, known, at_most=3) or sorted(known)
            yield keys, f"unknown GPU {gpu.model} (did you mean {' or '.join(near)}?)"


def _pools(job: JobDocument, known: Collection[str] | None) -> Found:
    place = job.placement
    denied = set(place.not_pools)
    for name in place.pools:
        if not denied.isdisjoint((name, name.split("/")[0])):
            yield ("placement", "not_pools"), f"{name} is allowed in pools, too: keep one"
    if known is None:
        return
    for field, names in (("pools", place.pools), ("not_pools", place.not_pools)):
        for name in names:
            if name.split("/")[0] not in known:
                near = nearest(name.split("/")[0], known)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
                yield ("placement", field), f"unknown pool {name!r} ({hint})"


def _deadline(job: JobDocument, now_ns: int) -> Found:
    if job.deadline is None:
        return
    left_s = (deadline_ns(job.deadline, now_ns) - now_ns) / NS_PER_S
    if left_s <= 0:
        yield ("deadline",), f"{job.deadline} is in the past"
    elif job.max_wait and job.max_wait > left_s:
        yield ("max_wait",), f"is {plain(job.max_wait)} s, beyond the deadline {job.deadline} in {left_s:.0f} s"
    elif job.est_runtime and job.est_runtime > left_s:
        yield (
            ("est_runtime",),
            f"is {plain(job.est_runtime)} s, longer than the {left_s:.0f} s until the deadline {job.deadline}",
        )
