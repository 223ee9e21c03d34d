"""Whatever a container runs is under its limits from the beginning, in every isolation."""

from pathlib import Path

import cloudpickle
import pytest

from broker.testing.builders import launch_request
from broker.testing.executor_contract_launch import call_request
from executors.local_serverless import sandbox
from executors.on_machine import limits
from tests.executors.cgroups import needs_cgroups
from tests.executors.local_serverless.driving import open_pool

STRONGEST = sandbox.strongest()
ISOLATIONS = {"bubblewrap": ("bubblewrap", "namespaces", "process"), "namespaces": ("namespaces", "process")}
CONTROLLERS = {""} if limits.kind() == "cgroup v2" else {"memory", "pids", "cpu"}


def entered(said: str, container: str) -> set[str]:
    """The controllers whose group of this container is in a `/proc/PID/cgroup`."""
    lines = [line for line in said.splitlines() if line.endswith(f"/broker-{container}")]
    return {line.split(":")[1] for line in lines}


@needs_cgroups
@pytest.mark.parametrize("isolation", ISOLATIONS.get(STRONGEST, ("process",)))
async def test_the_first_command_of_a_container_begins_in_its_groups(isolation: str) -> None:
    async with open_pool(options={"isolation": isolation, "prepared": 0}) as watch:
        request = launch_request(argv=("cat", "/proc/self/cgroup"))
        report = await watch.run(request)
        said = (await watch.output(request.attempt_id)).decode()
        assert entered(said, report.unit_ids[0]) == CONTROLLERS, said


@needs_cgroups
async def test_a_call_begins_in_the_groups_of_its_container() -> None:
    def call() -> str:
        return Path("/proc/self/cgroup").read_text()

    async with open_pool() as watch:
        request = call_request(call)
        report = await watch.run(request)
        _, said = cloudpickle.loads(await watch.executor.result(request.attempt_id))
        assert entered(said, report.unit_ids[0]) == CONTROLLERS, said
