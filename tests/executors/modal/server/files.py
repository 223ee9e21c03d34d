"""Files that clients send: by their hash, alone and in mounts; large ones were sent as blobs."""

from __future__ import annotations

import hashlib
from typing import Any

from modal_proto import api_pb2

from tests.executors.modal.server.blobs import Blobs
from tests.executors.modal.server.world import World, invalid, missing, new_id


class Files:
    def __init__(self, world: World, blobs: Blobs) -> None:
        self._world, self._blobs = world, blobs
        self._contents: dict[str, bytes] = {}
        self.mounts: dict[str, dict[str, tuple[bytes, int]]] = {}  # id -> path -> content and mode

    async def MountBatchedCheckExistence(self, request: Any) -> Any:
        unknown = [one for one in request.sha256_hex_hashes if one not in self._contents]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=unknown)

    async def MountPutFile(self, request: Any) -> Any:
        if how := request.WhichOneof("data_oneof"):
            content = request.data if how == "data" else self._blobs.of(request.data_blob_id)
            if hashlib.sha256(content).hexdigest() != request.sha256_hex:
                raise invalid("the content does not have this hash")
            self._contents[request.sha256_hex] = content
        return api_pb2.MountPutFileResponse(exists=request.sha256_hex in self._contents)

    async def MountGetOrCreate(self, request: Any) -> Any:
        if request.deployment_name.startswith("modal-client-mount-"):  # Modal's own, which is there for all
            return api_pb2.MountGetOrCreateResponse(mount_id=new_id("mo"))
        if request.deployment_name:
            raise missing("mount", request.deployment_name)
        for file in request.files:
            if file.sha256_hex not in self._contents:
                raise missing("file", file.filename)
            if not file.filename.startswith("/"):
                raise invalid(f"{file.filename} is no absolute path")
        mount_id = new_id("mo")
        self.mounts[mount_id] = {
            file.filename: (self._contents[file.sha256_hex], file.mode or 0o644) for file in request.files
        }
        return api_pb2.MountGetOrCreateResponse(
            mount_id=mount_id, handle_metadata=api_pb2.MountHandleMetadata(content_checksum_sha256_hex="0" * 64)
        )

    def of(self, mount_id: str) -> dict[str, tuple[bytes, int]]:
        if mount_id not in self.mounts:
            raise missing("mount", mount_id)
        return self.mounts[mount_id]
