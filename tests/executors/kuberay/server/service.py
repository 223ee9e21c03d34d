"""A Kubernetes API server with KubeRay on loopback, for the length of a context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from aiohttp import web

from tests.executors.kuberay.server.http import TOKEN, Front
from tests.executors.kuberay.server.operator import Operator
from tests.executors.kuberay.server.world import World


@dataclass
class Cluster:
    """The running server."""

    world: World
    operator: Operator
    front: Front
    kubeconfig: Path

    def write_kubeconfig(self, token: str = TOKEN) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"]["token"] = token
        self.kubeconfig.write_text(yaml.safe_dump(config))


@asynccontextmanager
async def kubernetes(folder: Path) -> AsyncIterator[Cluster]:
    folder.mkdir(parents=True, exist_ok=True)
    world = World()
    operator = Operator(world, folder)
    front = Front(world, operator)
    app = web.Application(client_max_size=4 << 20)
    app.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config_of(f"http://{host}:{port}")))
    operator.start()
    try:
        yield Cluster(world, operator, front, kubeconfig)
    finally:
        front.cut()
        await operator.stop()
        await runner.cleanup()


def config_of(url: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "broker"}}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "broker", "user": {"token": TOKEN}}],
    }
