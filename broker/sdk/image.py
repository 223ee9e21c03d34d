"""`Image`: what a job's environment has → the fields of the job that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    """What a function finds where it runs. Every method gives a new image, and changes none.

    `Image()` is what a pool has; `Image("pytorch/pytorch:2.9")` is a container image. A pool that can't build it
    refuses the job, with the reason: images and Debian packages need a pool of containers, as Modal is.
    """

    name: str | None = None  # of a registry
    _requirements: tuple[str, ...] = ()
    _debian: tuple[str, ...] = ()
    _commands: tuple[str, ...] = ()
    _variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_registry(cls, name: str) -> Image:
        """A container image of a registry, which must have the Python version of the caller."""
        return cls(name)

    def pip_install(self, *packages: str) -> Image:
        """Adds Python packages, as pip names them: `"torch>=2.8"`."""
        return replace(self, _requirements=(*self._requirements, *packages))

    def apt_install(self, *packages: str) -> Image:
        """Adds Debian packages: `"ffmpeg"`."""
        return replace(self, _debian=(*self._debian, *packages))

    def run_commands(self, *commands: str) -> Image:
        """Adds commands of bash that are run once, after the packages are installed."""
        return replace(self, _commands=(*self._commands, *commands))

    def env(self, variables: Mapping[str, str]) -> Image:
        """Adds environment variables."""
        return replace(self, _variables={**self._variables, **variables})

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a job specification that say the same."""
        found = {
            "image": self.name,
            "requirements": list(self._requirements),
            "system_packages": list(self._debian),
            "setup": "\n".join(["set -e", *self._commands]) if self._commands else None,
            "envs": dict(self._variables),
        }
        return {name: value for name, value in found.items() if value}
