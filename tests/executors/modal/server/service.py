"""The two services of the protocol, put together from the nouns; calls that no noun knows are UNIMPLEMENTED."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpclib import GRPCError, Status
from grpclib.server import Server, Stream
from modal_proto.api_grpc import ModalClientBase
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from tests.executors.modal.server.apps import Apps
from tests.executors.modal.server.blobs import Blobs
from tests.executors.modal.server.files import Files
from tests.executors.modal.server.functions import CALLER, Functions
from tests.executors.modal.server.images import Images
from tests.executors.modal.server.keyed import Keyed
from tests.executors.modal.server.logs import Logs
from tests.executors.modal.server.router import Router
from tests.executors.modal.server.sandboxes import Sandboxes
from tests.executors.modal.server.secrets import Secrets
from tests.executors.modal.server.tasks import Zygote
from tests.executors.modal.server.volumes import Volumes
from tests.executors.modal.server.world import Faults, World

Answering = Callable[[Any], Any]


class Listening(Server):
    """A server that takes its connections with it: clients of it may have forgotten theirs."""

    def __init__(self, services: list[Any]) -> None:
        super().__init__(services)
        self._protocols: list[Any] = []

    def _protocol_factory(self) -> Any:
        self._protocols.append(super()._protocol_factory())
        return self._protocols[-1]

    async def hang_up(self) -> None:
        self.close()
        await self.wait_closed()
        for protocol in self._protocols:
            if hasattr(protocol, "connection"):
                protocol.connection.close()
        await asyncio.sleep(0)  # the turn of the loop in which they are closed


class ModalServer:
    """A service on loopback that speaks Modal's protocol and runs containers as processes of this machine."""

    def __init__(self, folder: Path, zygote: Path | None = None) -> None:
        self.world = World(folder)
        self.apps, self.blobs, self.secrets, self.volumes = (
            noun(self.world) for noun in (Apps, Blobs, Secrets, Volumes)
        )
        self.files = Files(self.world, self.blobs)
        self.images = Images(self.world, self.files)
        self.sandboxes = Sandboxes(self.world, self.apps, self.images, self.files, self.secrets, self.volumes)
        self.logs, self.keyed = Logs(self.world), Keyed(self.world)
        self.functions = Functions(self.world, self.apps, self.images, self.secrets, self.volumes, self.logs)
        self.functions.zygote = Zygote(zygote) if zygote else None
        self.functions.door = self._door
        self._nouns = (
            *(self.apps, self.blobs, self.files, self.secrets, self.volumes, self.images, self.sandboxes),
            *(self.logs, self.keyed, self.functions),
        )
        self._doors: list[Listening] = []
        services = [
            _complete(ModalClientBase, self._nouns, self.world, self.world.admit),
            _complete(TaskCommandRouterBase, (Router(self.world, self.sandboxes),), self.world, self._routed),
        ]
        self._server = Listening(services)

    @property
    def faults(self) -> Faults:
        return self.world.faults

    def _routed(self, call: str, metadata: Any) -> None:
        if metadata.get("authorization") not in {f"Bearer {token}" for token in self.world.auth_tokens}:
            raise GRPCError(Status.UNAUTHENTICATED, f"{call} needs a bearer token")

    async def _door(self, task_id: str) -> str:
        """An address for one container: whoever calls there is that container."""

        def admit(call: str, metadata: Any) -> None:
            CALLER.set(task_id)

        door = Listening([_complete(ModalClientBase, self._nouns, self.world, admit)])
        self._doors.append(door)
        await door.start("127.0.0.1", 0)
        port = door._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return f"http://127.0.0.1:{port}"

    async def start(self, port: int = 0) -> str:
        await self.blobs.start()
        await self._server.start("127.0.0.1", port)
        port = self._server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.world.url = f"http://127.0.0.1:{port}"
        return self.world.url

    async def stop(self) -> None:
        await self.sandboxes.end_all()
        await self.functions.stop()
        for door in self._doors:
            await door.hang_up()
        await self.blobs.stop()
        await self._server.hang_up()


@asynccontextmanager
async def modal_server(folder: Path, zygote: Path | None = None) -> AsyncIterator[ModalServer]:
    """A server that runs; functions only with a zygote to fork their containers from."""
    server = ModalServer(folder, zygote)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _complete(base: type, nouns: tuple[Any, ...], world: World, admit: Callable[[str, Any], None]) -> Any:
    """A service with a handler for each call of `base`."""
    names = base.__abstractmethods__  # type: ignore[attr-defined]
    known = {name: getattr(noun, name) for noun in nouns for name in names if hasattr(noun, name)}
    handlers = {name: _handler(name, known.get(name), world, admit) for name in names}
    return type(f"Complete{base.__name__}", (base,), handlers)()


def _handler(call: str, answer: Answering | None, world: World, admit: Callable[[str, Any], None]) -> Any:
    async def handle(self: Any, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        if answer is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"this server has no {call}")
        admit(call, stream.metadata)
        world.calls.append((call, request))
        if failure := Faults.due(world.faults.failing, call):
            raise failure
        if inspect.isasyncgenfunction(answer):
            await _stream(call, answer(request), stream, world)
        else:
            await _unary(call, answer, request, stream, world)

    return handle


async def _unary(call: str, answer: Answering, request: Any, stream: Stream[Any, Any], world: World) -> None:
    """Answers once for each idempotency key, however often it is asked."""
    given = stream.metadata.get("x-idempotency-key")  # type: ignore[union-attr]
    key = (call, given)
    if given is None or key not in world.answers:
        world.answers[key] = await answer(request)
    if failure := Faults.due(world.faults.after, call):
        raise failure
    await stream.send_message(world.answers[key])


async def _stream(call: str, messages: AsyncIterator[Any], stream: Stream[Any, Any], world: World) -> None:
    async for message in messages:
        await stream.send_message(message)
        if world.faults.dropped[call]:
            world.faults.dropped[call] -= 1
            await stream.cancel()
            return
