"""A job → what its tasks keep in the store together, and why that is too much: a short text may stand for a lot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from broker.spec.document import ADDED_TAGS, MAX_TASKS, JobDocument

MAX_TASK_TAGS: Final = 1_000_000  # each has a row of its own
MAX_TASK_TEXT: Final = 16 << 20  # characters of variables of matrices


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What is kept for each task, of all tasks together."""

    tasks: int  # or so many that there are too many
    text: int = 0  # characters of names and values of a matrix
    tags: int = 0

    @classmethod
    def total(cls, parts: Iterable[Footprint]) -> Footprint:
        """The footprint of several jobs together."""
        every = list(parts)
        return cls(
            tasks=sum(each.tasks for each in every),
            text=sum(each.text for each in every),
            tags=sum(each.tags for each in every),
        )


def footprint(job: JobDocument) -> Footprint:
    """The footprint of a job, every value of whose matrix is filled in."""
    tasks = job.array or 1
    for values in job.matrix.values():
        tasks *= len(values)
        if tasks > MAX_TASKS:
            return Footprint(tasks=tasks)
    sizes = ((len(name) * len(values) + sum(map(len, values)), len(values)) for name, values in job.matrix.items())
    text = sum(size * tasks // count for size, count in sizes)
    return Footprint(tasks=tasks, text=text, tags=tasks * len(own_tags(job)))


def own_tags(job: JobDocument) -> frozenset[str]:
    """Keys of the tags that are not the broker's."""
    return frozenset(job.tags) - ADDED_TAGS


def excess(kept: Footprint) -> Iterator[tuple[str, str]]:
    """The fields that make it too much, and how much it is and may be; to be ended with of what."""
    if kept.tasks > MAX_TASKS:
        yield "matrix", f"makes {kept.tasks:,} tasks or more, and {MAX_TASKS:,} are the most"
    if kept.text > MAX_TASK_TEXT:
        said = (
            f"gives all tasks together {kept.text >> 20:,} MiB of variables: keep long values in a file, and tell each"
        )
        yield "matrix", f"{said} task which are its own; {MAX_TASK_TEXT >> 20} MiB are the most"
    if kept.tags > MAX_TASK_TAGS:
        yield "tags", f"are kept for each task, {kept.tags:,} in all, and {MAX_TASK_TAGS:,} are the most"
