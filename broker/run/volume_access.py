"""The volumes that a job names → its description with where they are, and which of them it may only read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker.model.errors import InvalidInput, Problem
from broker.model.jobs import JobSpec
from broker.model.volumes import Access, Volume


def with_volumes(spec: JobSpec, known: Iterable[Volume]) -> JobSpec:
    """The same job, as its volumes are now.

    Raises `InvalidInput` for one that its project has not and that is not shared with it, in the same words as for
    one that there is not; and for several places: no pool reaches them.
    """
    usable = {each.name: each for each in known if each.access(spec.project)}
    problems = [
        Problem(field=f"volumes.{path}", message=f"{no_access(name, spec.project)}; it may use: {_listed(usable)}")
        for path, name in spec.volumes.items()
        if name not in usable
    ]
    if problems:
        raise InvalidInput(*problems)
    wanted = sorted(set(spec.volumes.values()))
    places = {usable[name].place: name for name in wanted}
    if len(places) > 1:
        said = " and ".join(f"{name} is at {place}" for place, name in sorted(places.items()))
        raise InvalidInput(Problem(field="volumes", message=f"no pool reaches all of them: {said}"))
    read_only = tuple(name for name in wanted if usable[name].access(spec.project) is Access.READ)
    return replace(spec, volumes_at=next(iter(places)), volumes_read_only=read_only)


def check_access(spec: JobSpec, volume: Volume) -> None:
    """Raises `InvalidInput` where a job may do less with a volume than when it was submitted."""
    access = volume.access(spec.project)
    if access is None:
        raise InvalidInput(Problem(field="volumes", message=no_access(volume.name, spec.project)))
    if access is Access.READ and volume.name not in spec.volumes_read_only:
        message = f"the project {spec.project} may only read the volume {volume.name} by now: submit the job again"
        raise InvalidInput(Problem(field="volumes", message=message))


def no_access(name: str, project: str) -> str:
    """What is said of a volume that jobs of a project can't name."""
    return (
        f"the project {project} has no volume {name!r}: `broker volume create {name} --project {project}` makes one; "
        f"another project's is shared by its admins, `broker volume share {name} --project {project}`"
    )


def _listed(usable: Iterable[str]) -> str:
    return ", ".join(sorted(usable)) or "none"
