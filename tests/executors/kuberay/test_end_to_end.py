"""A broker's daemon with the pools of the example: a job in one's own cluster, its cost, and a daemon that dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.executors.at_the_shell import Shell, broker_up
from tests.executors.kuberay.server.service import Cluster, kubernetes

EXAMPLE = Path(__file__).parents[3] / "examples" / "pools" / "kuberay.toml"
USD_PER_HOUR = Decimal("0.8048")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with kubernetes(tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(cluster: Cluster) -> AsyncIterator[Shell]:
    """One daemon for all: it takes a moment to start."""
    config = EXAMPLE.read_text(encoding="utf-8").replace('mode = "on"', 'mode = "off"')
    async with broker_up(config, {"KUBECONFIG": str(cluster.kubeconfig)}) as person:
        yield person


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


async def test_a_ray_program_of_two_nodes_has_a_cluster_of_its_own_and_pays_for_its_head(
    shell: Shell, cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "gang.yaml"
    placed = "placement: {runtime: ray, pools: [gangs]}"
    file.write_text(f"run: echo $BROKER_POOL\nresources: {{num_nodes: 2, accelerators: L4, memory: 1GiB}}\n{placed}\n")
    job = await shell.call("submit", "-d", str(file))
    await shell.call("wait", job)
    assert await shell.call("logs", job) == "gangs"
    charges: list[dict[str, Any]] = []
    while len({one["unit_id"] for one in charges}) < 3:
        charges = (await shell.json("show", job))["charges"]
    heads = {one["price"]["offer"] for one in charges if one["kind"] == "head"}
    assert heads == {"configured/pool/gangs-head/on_demand"}
    workers = {one["price"]["offer"] for one in charges if one["kind"] not in ("head", "rounding")}
    assert workers == {"aws/ec2/g6.xlarge/us-east-1/on_demand"}
    vpc = next(row for row in (await shell.json("pools")) if row["name"] == "vpc")
    assert [price["usd_per_hour"] for price in vpc["head_prices"]] == ["0.192"]
    spent = await shell.json("spend", "--by", "pool")
    assert [row["overhead"]["nanodollars"] > 0 for row in spent["rows"] if row["group"] == {"pool": "vpc"}] == [True]


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
