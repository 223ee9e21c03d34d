"""The router beside a container of the second kind: its streams, byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from modal_proto import task_command_router_pb2 as pb2

from tests.executors.modal.server.sandboxes import Sandboxes
from tests.executors.modal.server.world import World, missing


class Router:
    def __init__(self, world: World, sandboxes: Sandboxes) -> None:
        self._world, self._sandboxes = world, sandboxes

    def _of(self, task_id: str) -> Any:
        for sandbox in self._sandboxes.all.values():
            if sandbox.task_id == task_id:
                return sandbox
        raise missing("task", task_id)

    async def SandboxStdioReadV2(self, request: Any) -> AsyncIterator[Any]:
        name = "stdout" if request.file_descriptor == pb2.SANDBOX_STDIO_FILE_DESCRIPTOR_STDOUT else "stderr"
        stream, offset = self._of(request.task_id).container.streams[name], request.offset
        await self._world.faults.released()
        while data := await stream.beyond(offset):
            yield pb2.SandboxStdioReadV2Response(data=data, starting_offset=offset)
            offset += len(data)

    async def SandboxStdinWriteV2(self, request: Any) -> Any:
        self._of(request.task_id).container.write(request.data)
        return pb2.SandboxStdinWriteV2Response()
