"""Blobs: large contents, which clients put and get over HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from aiohttp import web
from modal_proto import api_pb2

from tests.executors.modal.server.world import World, missing, new_id


class Blobs:
    def __init__(self, world: World) -> None:
        self._contents: dict[str, bytes] = {}
        self._hashes: dict[str, str] = {}
        app = web.Application(client_max_size=1 << 30)
        app.add_routes([web.put("/{blob}", self._put), web.get("/{blob}", self._get)])
        self._runner = web.AppRunner(app, access_log=None)
        self._url = ""

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        self._url = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _put(self, request: web.Request) -> web.Response:
        blob_id, data = request.match_info["blob"], await request.read()
        if base64.b64encode(hashlib.sha256(data).digest()).decode() != self._hashes.get(blob_id):
            return web.Response(status=400)
        self._contents[blob_id] = data
        return web.Response(headers={"ETag": hashlib.md5(data).hexdigest()})

    async def _get(self, request: web.Request) -> web.Response:
        return web.Response(body=self._contents[request.match_info["blob"]])

    def of(self, blob_id: str) -> bytes:
        if blob_id not in self._contents:
            raise missing("blob", blob_id)
        return self._contents[blob_id]

    def keep(self, data: bytes) -> str:
        blob_id = new_id("bl")
        self._contents[blob_id] = data
        return blob_id

    async def BlobCreate(self, request: Any) -> Any:
        blob_id = new_id("bl")
        self._hashes[blob_id] = request.content_sha256_base64
        urls = api_pb2.UploadUrlList(items=[f"{self._url}/{blob_id}"])
        return api_pb2.BlobCreateResponse(blob_ids=[blob_id], upload_urls=urls)

    async def BlobGet(self, request: Any) -> Any:
        self.of(request.blob_id)
        return api_pb2.BlobGetResponse(download_url=f"{self._url}/{request.blob_id}")
