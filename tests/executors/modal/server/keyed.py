"""Dicts and queues by name, with what containers and clients keep in them."""

from __future__ import annotations

import asyncio
from typing import Any

from modal_proto import api_pb2

from tests.executors.modal.server.world import World, missing, new_id


class Keyed:
    def __init__(self, world: World) -> None:
        self._ids: dict[tuple[str, str, str], str] = {}
        self.dicts: dict[str, dict[bytes, bytes]] = {}
        self._queues: dict[str, dict[bytes, list[bytes]]] = {}
        self._news = asyncio.Condition()

    def _id(self, kind: str, request: Any) -> str:
        key = (kind, request.environment_name or "main", request.deployment_name)
        if key not in self._ids:
            if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise missing(kind, request.deployment_name)
            self._ids[key] = new_id({"dict": "di", "queue": "qu"}[kind])
        return self._ids[key]

    async def DictGetOrCreate(self, request: Any) -> Any:
        dict_id = self._id("dict", request)
        self.dicts.setdefault(dict_id, {})
        metadata = api_pb2.DictMetadata(name=request.deployment_name)
        return api_pb2.DictGetOrCreateResponse(dict_id=dict_id, metadata=metadata)

    async def DictUpdate(self, request: Any) -> Any:
        known = self.dicts[request.dict_id]
        created = False
        for entry in request.updates:
            if entry.key not in known or not request.if_not_exists:
                known[entry.key], created = entry.value, True
        return api_pb2.DictUpdateResponse(created=created)

    async def QueueGetOrCreate(self, request: Any) -> Any:
        queue_id = self._id("queue", request)
        self._queues.setdefault(queue_id, {})
        metadata = api_pb2.QueueMetadata(name=request.deployment_name)
        return api_pb2.QueueGetOrCreateResponse(queue_id=queue_id, metadata=metadata)

    async def QueuePut(self, request: Any) -> Any:
        from google.protobuf.empty_pb2 import Empty

        async with self._news:
            self._queues[request.queue_id].setdefault(request.partition_key, []).extend(request.values)
            self._news.notify_all()
        return Empty()

    async def QueueGet(self, request: Any) -> Any:
        partition = self._queues[request.queue_id].setdefault(request.partition_key, [])
        try:
            async with asyncio.timeout(request.timeout), self._news:
                await self._news.wait_for(lambda: bool(partition))
        except TimeoutError:
            return api_pb2.QueueGetResponse()
        taken = partition[: request.n_values or 1]
        del partition[: len(taken)]
        return api_pb2.QueueGetResponse(values=taken)
