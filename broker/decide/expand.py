"""One submitted specification → the jobs it stands for: one, or the tasks of an array or of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from broker.model.jobs import Job, JobSpec, JobState


def task_count(spec: JobSpec) -> int:
    """How many jobs a specification stands for."""
    return prod(len(values) for values in spec.matrix.values()) * _repeats(spec)


def expand(spec: JobSpec, id: str, user: str, now_ns: int) -> tuple[Job, ...]:
    """The jobs of one submission, queued at `now_ns`: see `tasks`."""
    return tuple(tasks(spec, id, user, now_ns))


def tasks(spec: JobSpec, id: str, user: str, now_ns: int) -> Iterator[Job]:
    """The jobs of one submission, one after the other, for who does not need all of them.

    A job that is no array has the id given; task n of an array is `<id>.<n>`. A matrix has a task for each combination
    of its values, the last variable changing fastest; with an array as well, each combination has that many tasks.
    """
    if spec.array_size is None and not spec.matrix:
        yield Job(id=id, spec=spec, state=JobState.QUEUED, user=user, submitted_ns=now_ns)
        return
    combinations = (dict(zip(spec.matrix, values, strict=True)) for values in product(*spec.matrix.values()))
    for index, envs in enumerate(envs for envs in combinations for _ in range(_repeats(spec))):
        yield Job(
            id=f"{id}.{index}",
            spec=spec,
            state=JobState.QUEUED,
            user=user,
            submitted_ns=now_ns,
            array_id=id,
            array_index=index,
            task_envs=envs,
        )


def _repeats(spec: JobSpec) -> int:
    return spec.array_size if spec.array_size is not None else 1
