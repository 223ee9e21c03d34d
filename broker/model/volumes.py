"""Volumes: named folders that outlive the jobs that use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from broker.model.projects import DEFAULT_PROJECT

ON_THIS_MACHINE: Final = "local"  # where volumes of pools on the broker's own machine are
EVERYBODY: Final = "*"  # as a project that a volume is shared with: all there are, and all to come


class Access(StrEnum):
    """What jobs of a project that a volume is shared with may do with what is in it."""

    READ = "read"
    WRITE = "write"  # and read


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A named folder, which lives in one place."""

    name: str
    place: str  # pools that say the same of their volumes share it
    user: str  # who made it
    created_ns: int
    project: str = DEFAULT_PROJECT  # whose jobs may write to it, and read
    shares: Mapping[str, Access] = field(default_factory=dict)  # by other project, or `EVERYBODY`

    def access(self, project: str) -> Access | None:
        """What jobs of a project may do with it; None: they can't name it."""
        if project == self.project:
            return Access.WRITE
        given = {self.shares.get(project), self.shares.get(EVERYBODY)}
        return Access.WRITE if Access.WRITE in given else Access.READ if Access.READ in given else None


def variable(name: str) -> str:
    """The environment variable in which a job finds where a volume really is."""
    return f"BROKER_VOLUME_{name.upper().replace('-', '_')}"
