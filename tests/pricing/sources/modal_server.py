"""The calls of Modal's protocol that rates and bills need, over gRPC, in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from grpclib import GRPCError, Status
from grpclib.server import Server
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

TOKEN = ("ak-prices", "as-nobody-knows")


@dataclass(slots=True)
class ModalServer:
    rates: dict[str, str] = field(default_factory=dict)
    deprecated: dict[str, str] = field(default_factory=dict)
    bill: list[api_pb2.WorkspaceBillingReportItem] = field(default_factory=list)
    faults: list[GRPCError] = field(default_factory=list)  # what the next askings are answered with
    asked: list[Any] = field(default_factory=list)  # for bills
    calls: list[str] = field(default_factory=list)

    def answers(self, call: str, metadata: Any, request: Any) -> list[Any]:
        """One answer, or those of a stream."""
        if call != "WorkspaceBillingReport":
            return [self.answer(call, metadata)]
        self.answer("ClientHello", metadata)
        self.asked.append(request)
        if request.resolution not in ("d", "h") or request.end_timestamp.seconds <= request.start_timestamp.seconds:
            raise GRPCError(Status.INVALID_ARGUMENT, "no such report")
        if self.faults:
            raise self.faults.pop(0)
        return self.bill

    def answer(self, call: str, metadata: Any) -> Any:
        self.calls.append(call)
        if (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != TOKEN:
            raise GRPCError(Status.UNAUTHENTICATED, "Token ID not found or token has expired")
        match call:
            case "ClientHello":
                return api_pb2.ClientHelloResponse()
            case "WorkspaceNameLookup":
                return api_pb2.WorkspaceNameLookupResponse(workspace_name="ours", username="ann")
            case "WorkspaceBillingRates":
                if self.faults:
                    raise self.faults.pop(0)
                return api_pb2.WorkspaceBillingRatesResponse(rates=self.rates, deprecation_warnings=self.deprecated)
        raise GRPCError(Status.UNIMPLEMENTED, f"this server has no {call}")


@contextmanager
def modal_serving(state: ModalServer) -> Iterator[str]:
    """Serves until the end of the block; gives the address."""
    loop, started, address = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        server = Server([_service(state)])
        await server.start("127.0.0.1", 0)
        address.append(server._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        started.set()
        await stopping.wait()
        server.close()
        await server.wait_closed()

    stopping = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{address[0]}"
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def _service(state: ModalServer) -> Any:
    def handler(call: str) -> Any:
        async def handle(self: Any, stream: Any) -> None:
            request = await stream.recv_message()
            for message in state.answers(call, stream.metadata, request):
                await stream.send_message(message)

        return handle

    calls = ModalClientBase.__abstractmethods__  # type: ignore[attr-defined]
    return type("Service", (ModalClientBase,), {call: handler(call) for call in calls})()
