"""Volumes: folders that outlive containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modal_proto import api_pb2

from tests.executors.modal.server.world import World, missing, new_id


class Volumes:
    def __init__(self, world: World) -> None:
        self._world = world
        self._named: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The volumes that there are."""
        return sorted(self._named)

    def made(self, name: str) -> Path:
        """A volume that somebody made."""
        self._named[name] = new_id("vo")
        folder = self.folder(self._named[name])
        folder.mkdir(parents=True)
        return folder

    def folder(self, volume_id: str) -> Path:
        if volume_id not in self._named.values():
            raise missing("volume", volume_id)
        return self._world.folder / "volumes" / volume_id

    async def VolumeGetOrCreate(self, request: Any) -> Any:
        wanted = request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING
        if wanted and request.deployment_name not in self._named:
            self.made(request.deployment_name)
        if request.deployment_name not in self._named:
            raise missing("volume", request.deployment_name)
        metadata = api_pb2.VolumeMetadata(name=request.deployment_name)
        return api_pb2.VolumeGetOrCreateResponse(volume_id=self._named[request.deployment_name], metadata=metadata)
