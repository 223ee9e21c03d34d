"""The gateway: a program that is the one attached Ray driver; requests on a socket → calls of the supervisor.

`python -m executors.ray_cluster.gateway FD`; the first message says what to attach to. Ray is imported here only, so
that neither its memory nor its way of ending a process whose cluster died is the broker's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import ray

import broker
import executors
from broker.model.resources import canonical_gpu
from executors.on_machine.frames import read_frame, write_frame
from executors.ray_cluster.detached_actors import pinned_actor
from executors.ray_cluster.draining import drained
from executors.ray_cluster.supervisor import Supervisor
from executors.ray_cluster.targets import targets

NAMESPACE = "broker"
ACCELERATOR = "accelerator_type:"
_OUR_CODE = [str(Path(str(package.__file__)).parent) for package in (broker, executors)]


class Gateway:
    """Calls of one pool's supervisor, which it makes when there is none."""

    def __init__(self, hello: dict[str, Any]) -> None:
        ray.init(
            address=hello["address"],
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
            runtime_env={"py_modules": _OUR_CODE} if hello["send_code"] else None,
        )
        self._hello = hello
        self._supervisor = self._find()

    def _find(self) -> Any:
        """The supervisor, new where there is none of use.

        One that an earlier driver made goes on, but Ray keeps no idle worker for it any more: each of its tasks would
        wait half a second for a process of its own. It is replaced when it has nothing to do.
        """
        node = ray.get_runtime_context().get_node_id()
        while True:
            found = self._made(node)
            try:
                if not (left := ray.get(found.may_leave.remote())):
                    return found
                node = left  # this one may be of those that come and go
                ray.kill(found)
            except ray.exceptions.RayActorError:
                continue  # it is on its way out, and its name not free yet

    def _made(self, node: str) -> Any:
        """The supervisor as it is, or else a new one on a node."""
        actor = pinned_actor(Supervisor, f"supervisor-{self._hello['pool']}", node, max_concurrency=1000)
        return actor.remote(self._hello["root"], self._hello["dashboard"], self._hello["carried"])

    async def call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Calls the supervisor; a new one is made when it is gone, and the call repeated once."""
        if method == "nodes":
            return await asyncio.to_thread(_nodes, await self.call("leaving", ()))
        if method == "drain":
            return await drained(*arguments)
        if method == "want":
            return await targets().want.remote(self._hello["pool"], *arguments)
        try:
            return await getattr(self._supervisor, method).remote(*arguments)
        except ray.exceptions.RayActorError:
            self._supervisor = await asyncio.to_thread(self._find)
            return await getattr(self._supervisor, method).remote(*arguments)

    async def dismiss(self) -> None:
        """Ends the supervisor, a detached actor."""
        ray.kill(self._supervisor)


def _nodes(leaving: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "id": node["NodeID"],
            "alive": node["Alive"],
            "cpus": node["Resources"].get("CPU", 0.0),
            "gpus": node["Resources"].get("GPU", 0.0),
            "memory_bytes": int(node["Resources"].get("memory", 0)),
            "labels": node.get("Labels", {}),
            "leaves_ms": leaving.get(node["NodeID"]) if node["Alive"] else None,
            "gpu_model": _gpu_model(node["Resources"]),
            "extra": {name: amount for name, amount in node["Resources"].items() if _custom(name)},
        }
        for node in ray.nodes()
    ]


def _gpu_model(resources: dict[str, float]) -> str:
    models = [name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)]
    return canonical_gpu(models[0]) if models else ""


def _custom(name: str) -> bool:
    return name not in ("CPU", "GPU", "memory", "object_store_memory") and not name.startswith(("node:", ACCELERATOR))


async def serve(fd: int) -> None:
    """Answers requests until the other end closes."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd))
    hello = await read_frame(reader)
    try:
        gateway = Gateway(hello)
    except Exception as error:
        await write_frame(writer, (0, f"{type(error).__name__}: {error}", None))
        return
    await write_frame(writer, (0, None, "ready"))
    answering: set[asyncio.Task[None]] = set()

    async def answer(number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            value = await (gateway.dismiss() if method == "dismiss" else gateway.call(method, arguments))
            await write_frame(writer, (number, None, value))
        except ray.exceptions.RayError as error:
            await write_frame(writer, (number, f"{type(error).__name__}: {error}", None))

    while (request := await read_frame(reader)) is not None:
        task = asyncio.create_task(answer(*request))
        answering.add(task)
        task.add_done_callback(answering.discard)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
    os._exit(0)  # Ray's own farewell waits for seconds; nothing is left to do
