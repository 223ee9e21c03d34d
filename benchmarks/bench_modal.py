"""Launches through the Modal pools, against the bare client making the same sandbox, or the same call of a warm
function, at the same server of this machine.

All are timed until the command runs, as its agent tells: what the pool takes longer is the broker's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import p50, p99, report
from broker.model.jobs import LaunchRequest
from broker.testing.builders import launch_request
from executors.modal_pool import ModalFunctions, ModalPool, container_spec
from executors.modal_pool.sandboxes import arguments_of
from executors.remote import bundle
from tests.executors.modal.driving import executor_on, functions_of, pool_of
from tests.executors.modal.server.service import modal_server
from tests.executors.modal.server.tasks import zygote
from tests.executors.modal.server.world import TOKEN

WARM_UP, RUNS = 5, 60
PAUSE_S = 0.05  # in which a container asks for its next call


async def bare(pool: ModalPool, request: LaunchRequest) -> float:
    """Seconds until the sandbox of a request, made by Modal's client alone, says that the command runs."""
    import modal

    site = pool._site
    image = await site.images.built(request)
    begun = time.perf_counter()
    sandbox = await modal.Sandbox.create.aio(
        *arguments_of(request, 1 << 30),
        app=site.connection.app,
        client=site.connection.client,
        name=f"bare-{secrets.token_hex(6)}",
        image=image,
        env=dict(request.envs),
        timeout=3600,
        **container_spec.shape(request.resources),
    )
    async for line in sandbox.stderr:
        if '"started"' in line:
            break
    taken = time.perf_counter() - begun
    await sandbox.terminate.aio()
    await sandbox.detach.aio()
    return taken


async def bare_call(pool: ModalFunctions, request: LaunchRequest) -> float:
    """Seconds until a call of the function for a request, made by Modal's client alone, says that the command runs."""
    variant = await pool._functions.variant(request, request.resources)
    order = json.dumps(bundle.order_of(request, 1 << 30))
    begun = time.perf_counter()
    call = await variant.function.spawn.aio(secrets.token_hex(8), order, b"", dict(request.envs))
    taken = 0.0
    async for entry in call.logs.stream.aio():
        if '"started"' in entry.message:
            taken = time.perf_counter() - begun
        if '"end"' in entry.message:
            break
    await asyncio.sleep(PAUSE_S)
    return taken


async def ours(pool: ModalPool, request: LaunchRequest) -> float:
    """Seconds until the pool reports that the command of a request runs."""
    version = (await pool.poll(0)).version
    begun = time.perf_counter()
    await pool.launch(request)
    while True:
        poll = await pool.poll(version, 5.0)
        version = poll.version
        if any(one.attempt_id == request.attempt_id and one.started_ns for one in poll.reports):
            return time.perf_counter() - begun


async def both(pool: Any, other: Callable[[Any, LaunchRequest], Awaitable[float]]) -> tuple[list[float], list[float]]:
    """The pool's and the bare client's times; they take turns, so that both meet the same machine."""
    await pool.open()
    mine, theirs = [], []
    for number in range(WARM_UP + RUNS):
        request = launch_request("true")
        bare_s, pool_s = await other(pool, request), await ours(pool, request)
        while pool._site.reports.going():
            await pool.poll((await pool.poll(0)).version, 0.2)
        await asyncio.sleep(PAUSE_S)
        if number >= WARM_UP:
            mine.append(pool_s)
            theirs.append(bare_s)
    await pool.close(stop=True)
    return mine, theirs


async def run(name: str, folder: Path) -> tuple[list[float], list[float]]:
    """The times of one kind."""
    with zygote(folder) as containers:
        async with modal_server(folder / "modal", containers) as server:
            if name == "sandbox":
                return await both(executor_on(pool_of(server, max_units=8), folder / "state"), bare)
            return await both(executor_on(functions_of(server, max_units=1), folder / "state"), bare_call)


def main() -> None:
    """Reports what launches take longer."""
    os.environ |= {"MODAL_TOKEN_ID": TOKEN[0], "MODAL_TOKEN_SECRET": TOKEN[1]}
    for name in ("sandbox", "warm function"):
        with tempfile.TemporaryDirectory() as folder:
            mine, theirs = asyncio.run(run(name, Path(folder)))
        more = p50([own - other for own, other in zip(mine, theirs, strict=True)])
        report(
            f"a command in a {name} at Modal, launched to running",
            {
                "broker's pool": f"p50 {p50(mine) * 1000:.0f} ms, p99 {p99(mine) * 1000:.0f} ms",
                "bare client": f"p50 {p50(theirs) * 1000:.0f} ms, p99 {p99(theirs) * 1000:.0f} ms",
                "the broker's own": f"p50 {more * 1000:.1f} ms (goal: under 20 ms)",
            },
            {"pool_p50_s": p50(mine), "bare_p50_s": p50(theirs), "own_p50_s": more},
        )


if __name__ == "__main__":
    main()
