"""A broker's daemon with the pools of the example: a job in one's own cluster, its cost, and a daemon that dies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from broker.run.lifecycle import DaemonFile
from tests.executors.kuberay.server.service import Cluster, kubernetes

EXAMPLE = Path(__file__).parents[3] / "examples" / "pools" / "kuberay.toml"
BROKER = str(Path(sys.executable).with_name("broker"))
USD_PER_HOUR = Decimal("0.8048")
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Shell:
    """A person at the command line, whose Kubernetes is the server of the test."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._folder = folder
        config = EXAMPLE.read_text(encoding="utf-8").replace('mode = "on"', 'mode = "off"')
        (folder / "broker.toml").write_text('settle_every = "200ms"\n' + config, encoding="utf-8")
        self._env = {
            **os.environ,
            "BROKER_CONFIG": str(folder / "broker.toml"),
            "BROKER_STATE_DIR": str(folder / "state"),
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": str(folder),
        }

    async def call(self, *words: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [BROKER, *words],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"broker {' '.join(words)}: {done.stdout} {done.stderr}"
        return done.stdout.strip()

    async def json(self, *words: str) -> Any:
        return json.loads(await self.call(*words, "--json"))

    def kill(self) -> None:
        """SIGKILL to the daemon, as the kernel does when memory is short."""
        said = DaemonFile.read(self._folder / "state")
        assert said is not None
        os.kill(said.pid, signal.SIGKILL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with kubernetes(tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(cluster: Cluster) -> AsyncIterator[Shell]:
    """One daemon for all: it takes a moment to start."""
    folder = Path(tempfile.mkdtemp(prefix="bk-"))
    person = Shell(folder, cluster)
    await person.call("up")
    yield person
    await person.call("down", "--now")
    shutil.rmtree(folder)


async def test_a_job_that_needs_its_own_infrastructure_runs_there(shell: Shell, cluster: Cluster) -> None:
    """And is charged what the node costs."""
    wanted = ("--gpus", "L4", "--cpus", "1", "--memory", "1GiB")
    job = await shell.call("submit", "-d", *wanted, "--", "sh", "-c", "echo $BROKER_POOL; sleep 1")
    await shell.call("wait", job)
    assert await shell.call("logs", job) == "vpc"
    made = next(one for one in cluster.world.made("rayjobs") if one["metadata"]["name"] == f"{job}-a1")
    assert made["spec"]["entrypointNumGpus"] == 1
    charges = (await shell.json("show", job))["charges"]
    assert {charge["price"]["offer"] for charge in charges} == {"aws/ec2/g6.xlarge/us-east-1/on_demand"}
    nanodollars = sum(charge["amount"]["nanodollars"] for charge in charges if charge["kind"] == "job")
    seconds = Decimal(nanodollars) / 10**9 / USD_PER_HOUR * 3600
    assert 1 < seconds < 60


async def test_a_daemon_that_is_killed_goes_on_with_what_runs(shell: Shell, cluster: Cluster) -> None:
    wanted = ("--gpus", "L4", "--cpus", "1", "--memory", "1GiB")
    job = await shell.call("submit", "-d", *wanted, "--", "sh", "-c", "echo on; sleep 3; echo off")
    while not (run := cluster.operator.runs.get(f"{job}-a1")) or b"on" not in run.log.data:
        await asyncio.sleep(0.05)
    shell.kill()
    await shell.call("up")
    await shell.call("wait", job)
    assert await shell.call("logs", job) == "on\noff"
    assert len([one for one in cluster.world.made("rayjobs") if one["metadata"]["name"] == f"{job}-a1"]) == 1


async def test_it_can_be_cancelled(shell: Shell, cluster: Cluster) -> None:
    job = await shell.call("submit", "-d", "--gpus", "L4", "--cpus", "1", "--", "sh", "-c", "echo on; sleep 3600")
    while not (run := cluster.operator.runs.get(f"{job}-a1")) or b"on" not in run.log.data:
        await asyncio.sleep(0.05)
    await shell.call("cancel", job)
    while (await shell.json("show", job))["state"] != "cancelled":
        await asyncio.sleep(0.1)
    assert run.code is not None
