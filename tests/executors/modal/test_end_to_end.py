"""A broker's daemon with a pool of its own machine and one at Modal: where a job goes, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from broker.testing.executor_watch import PATIENCE_S
from tests.executors.at_the_shell import Shell, broker_up
from tests.executors.modal.server.service import ModalServer, modal_server
from tests.executors.modal.server.world import TOKEN

EXAMPLE = Path(__file__).parents[3] / "examples" / "pools" / "modal.toml"
CPUS, GIB = 2, 4
pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def modal_at_the_shell(server: ModalServer, example: Path) -> AsyncIterator[Shell]:
    """A person whose Modal is the server of the test, with the pools of an example."""
    config = example.read_text(encoding="utf-8").replace("max_containers = 2", "max_containers = 1")
    config = config.replace("capacity_wait_s = 60", "capacity_wait_s = 60\nestimate_after_s = 0.2")
    at = {"MODAL_SERVER_URL": server.world.url, "MODAL_TOKEN_ID": TOKEN[0], "MODAL_TOKEN_SECRET": TOKEN[1]}
    async with broker_up(config, at) as person:
        yield person


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ModalServer]:
    async with modal_server(tmp_path_factory.mktemp("modal")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(server: ModalServer) -> AsyncIterator[Shell]:
    """One daemon for all: it takes a moment to start."""
    async with modal_at_the_shell(server, EXAMPLE) as person:
        yield person


async def test_a_job_with_a_gpu_goes_to_modal_and_costs_what_modal_asks(shell: Shell, server: ModalServer) -> None:
    """GPU, virtual CPUs and GiB each at the rate of the catalogue; whole seconds are billed."""
    wanted = ("--gpus", "H100", "--cpus", str(CPUS), "--memory", f"{GIB}GiB", "--est-runtime", "1s")
    job = await shell.call("submit", "-d", *wanted, "--", "sh", "-c", "echo $BROKER_POOL; sleep 1")
    await shell.call("wait", job)
    assert await shell.call("logs", job) == "modal"
    (made,) = server.world.seen("SandboxCreate")
    assert made.definition.resources.gpu_config.gpu_type == "H100"
    charges = (await shell.json("show", job))["charges"]
    rate = Decimal("3.9492") + CPUS * Decimal("0.070955") + GIB * Decimal("0.024192")
    billed = sum(Decimal(charge["amount"]["nanodollars"]) for charge in charges)
    seconds = billed / 10**9 / rate * 3600
    assert abs(seconds - round(seconds)) < Decimal("1e-5"), "whole seconds, and not a nanodollar more"
    assert {charge["price"]["offer"] for charge in charges} == {"modal/sandbox/h100/auto/serverless"}
    assert {charge["kind"] for charge in charges} == {"cold_start", "job", "rounding"}
    (row,) = (await shell.json("spend", "--by", "pool"))["rows"]
    assert row["total"]["nanodollars"] == billed
    async with asyncio.timeout(PATIENCE_S):
        while not (told := (await shell.json("show", job))["estimates"]):
            await asyncio.sleep(0.2)
    assert [one["amount"]["nanodollars"] for one in told] == [12_635_957], "what Modal says, and it is not added"
    assert sum(Decimal(one["amount"]["nanodollars"]) for one in (await shell.json("show", job))["charges"]) == billed
    assert "modal itself says $0.01" in await shell.call("show", job)
    predicted = Decimal(row["predicted"]["nanodollars"]) / 10**9 / rate * 3600
    assert abs(predicted - 6) < Decimal("1e-5"), "five seconds of cold start, as configured, and one of run"


async def test_what_has_no_room_here_goes_to_modal(shell: Shell, server: ModalServer) -> None:
    wanted = ("--cpus", "1", "--memory", "256MiB", "--est-runtime", "1s")
    first = await shell.call("submit", "-d", *wanted, "--", "sleep", "3600")
    second = await shell.call("submit", "-d", *wanted, "--max-wait", "0s", "--", "sh", "-c", "echo $BROKER_POOL")
    await shell.call("wait", second)
    assert await shell.call("logs", second) == "modal"
    assert [made.definition.name for made in server.world.seen("SandboxCreateV2")] == [f"{second}-a1"]
    assert "here" in await shell.call("explain", second)
    await shell.call("cancel", first)


async def test_a_daemon_that_is_killed_goes_on_with_what_runs_at_modal(shell: Shell, server: ModalServer) -> None:
    wanted = ("--gpus", "L4", "--cpus", "1", "--memory", "1GiB")
    job = await shell.call("submit", "-d", *wanted, "--", "sh", "-c", "echo on; sleep 3; echo off")
    while not (named := server.sandboxes.named(f"{job}-a1")) or b"on" not in named[0].container.streams["stdout"].data:
        await asyncio.sleep(0.05)
    shell.kill()
    await shell.call("up")
    await shell.call("wait", job)
    assert await shell.call("logs", job) == "on\noff"
    assert len(server.sandboxes.named(f"{job}-a1")) == 1
