"""The port to a store of volumes, which is a part of the store; what is in them is elsewhere."""

from __future__ import annotations

from typing import Protocol

from broker.model.volumes import Access, Volume


class VolumeStore(Protocol):
    """Keeps which volumes there are. Every method is one transaction, as all of `Store`."""

    def add_volume(self, volume: Volume) -> None:
        """Stores a new volume. Raises `Conflict` when there is one of this name, `InvalidInput` without its project."""
        ...

    def volumes(self) -> tuple[Volume, ...]:
        """All of them by name."""
        ...

    def volume(self, name: str) -> Volume:
        """Raises `UnknownName`."""
        ...

    def share_volume(self, name: str, project: str, access: Access | None) -> Volume:
        """Says what jobs of another project, or of `EVERYBODY`, may do with a volume; None: nothing any more.

        Raises `UnknownName`, and `InvalidInput` without this project.
        """
        ...

    def give_volume(self, name: str, project: str) -> Volume:
        """Makes a volume a project's. Raises `UnknownName`, and `InvalidInput` without this project."""
        ...

    def jobs_with(self, name: str, limit: int) -> tuple[str, ...]:
        """Jobs that use a volume and have not ended, oldest first."""
        ...

    def drop_volume(self, name: str) -> None:
        """Removes a volume. Raises `UnknownName`, and `Conflict` while a job that has not ended uses it."""
        ...
