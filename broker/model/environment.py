"""The environment a job needs → a short key: containers with the same key are warm for each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from broker.model.jobs import JobSpec
from broker.model.projects import DEFAULT_PROJECT

_CONTINUED: Final = re.compile(r"\\[ \t]*\n(?:[ \t]*#.*\n)*")


def environment_key(spec: JobSpec) -> str:
    """A key of all that is built before a job's command can run: image, packages, setup, Python of a function.

    And of its project: what one has built, or left in a container, is never another's to run. Executors report it as
    `UnitState.warm_key`; quotes look for it there.
    """
    python = spec.function.python if spec.function else ""
    return _key(
        spec.image or "", tuple(spec.requirements), spec.setup or "", python, tuple(spec.system_packages), spec.project
    )


@lru_cache(maxsize=256)  # asked for each job in each round of placements
def _key(
    image: str, requirements: Sequence[str], setup: str, python: str, packages: Sequence[str], project: str
) -> str:
    parts: list[str | list[str]] = [image, sorted(requirements), setup, python]
    if packages:
        parts.append(sorted(packages))
    if project != DEFAULT_PROJECT:
        parts.append(f"project {project}")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def is_dockerfile(image: str) -> bool:
    """Whether what a job says as its image is a Dockerfile, and not the name of one."""
    return any(line.split(maxsplit=1)[0].upper() == "FROM" for line in image.splitlines() if len(line.split()) > 1)


def copied(dockerfile: str) -> tuple[str, ...]:
    """The paths that a Dockerfile copies out of the folder that it is built in, as it writes them."""
    found: list[str] = []
    for line in _CONTINUED.sub(" ", dockerfile).splitlines():
        word, *words = line.split() or [""]
        flags = [each for each in words if each.startswith("--")]
        if word.upper() != "COPY" or any(flag.startswith("--from=") for flag in flags):
            continue
        found += [path for path in words[len(flags) : -1] if not path.startswith("<<")]
    return tuple(found)


def image_title(image: str) -> str:
    """What an image is called in a sentence."""
    return "a Dockerfile of its own" if is_dockerfile(image) else f"image {image}"
