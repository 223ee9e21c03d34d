"""The port to a store of volumes, which is a part of the store; what is in them is elsewhere."""

from __future__ import annotations

from typing import Protocol

from broker.model.volumes import Volume


class VolumeStore(Protocol):
    """Keeps which volumes there are. Every method is one transaction, as all of `Store`."""

    def add_volume(self, volume: Volume) -> None:
        """Stores a new volume. Raises `Conflict` when there is one of this name."""
        ...

    def volumes(self) -> tuple[Volume, ...]:
        """All of them by name."""
        ...

    def volume(self, name: str) -> Volume:
        """Raises `UnknownName`."""
        ...

    def jobs_with(self, name: str, limit: int) -> tuple[str, ...]:
        """Jobs that use a volume and have not ended, oldest first."""
        ...

    def drop_volume(self, name: str) -> None:
        """Removes a volume. Raises `UnknownName`, and `Conflict` while a job that has not ended uses it."""
        ...
