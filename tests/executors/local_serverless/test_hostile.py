"""Jobs that mean harm: what they leave, write or say does nothing beyond their container."""

import asyncio
import socket
from pathlib import Path

import pytest

from broker.model.jobs import AttemptState
from broker.testing.builders import launch_request
from broker.testing.executor_contract_launch import call_request
from broker.testing.executor_watch import PATIENCE_S
from executors.local_serverless.container import Container, ContainerFailed
from executors.local_serverless.sandbox import View
from tests.executors.local_serverless.driving import open_pool


async def test_a_link_that_was_left_leads_no_copy_out_of_the_container(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "key").write_text("mine")
    async with open_pool(max_units=1) as watch:
        second = launch_request("true", file_mounts={"authorized_keys": str(tmp_path / "key")})
        left = await watch.run(launch_request(f"ln -s {outside} ../{second.attempt_id}"))
        led = await watch.run(second)
        assert left.state is AttemptState.SUCCEEDED
        assert left.unit_ids == led.unit_ids
        assert (led.state, led.exit_code) == (AttemptState.FAILED, 125)
        assert list(outside.iterdir()) == []
        third = launch_request("cat key", file_mounts={"key": str(tmp_path / "key")})
        assert (await watch.run(third)).state is AttemptState.SUCCEEDED
        assert await watch.output(third.attempt_id) == b"mine"


async def test_a_result_without_end_is_read_by_nobody() -> None:
    def grow() -> None:
        import os

        for number in range(3, 64):
            try:
                named = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue
            if named.endswith("/result"):
                os.ftruncate(number, 1 << 40)

    async with open_pool() as watch:
        request = call_request(grow)
        report = await watch.run(request)
        assert (report.state, "write a file" in report.reason) == (AttemptState.FAILED, True), report.reason
        assert await watch.executor.result(request.attempt_id) is None


async def test_jobs_of_two_projects_share_no_container_and_no_environment() -> None:
    async with open_pool(max_units=2) as watch:
        found = []
        for project in ("default", "vision", "default"):
            request = launch_request(
                "cat $BROKER_ENVIRONMENT/by", setup="echo x > $BROKER_ENVIRONMENT/by", project=project
            )
            found.append(await watch.run(request))
            assert await watch.output(request.attempt_id) == b"x\n"
        assert found[0].unit_ids == found[2].unit_ids != found[1].unit_ids


@pytest.mark.parametrize(
    "said",
    [
        (1 << 62).to_bytes(8, "big"),
        (1).to_bytes(8, "big") + b"[",
        (2).to_bytes(8, "big") + b"[]",
        (12).to_bytes(8, "big") + b'{"id": null}',
        2 * ((15).to_bytes(8, "big") + b'{"ready": true}'),
    ],
    ids=["endless", "no JSON", "no message", "of no run", "ready twice"],
)
async def test_an_agent_that_says_what_no_agent_says_is_given_up(tmp_path: Path, said: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    container = Container(tmp_path, View(kind="process"))
    loop = asyncio.get_running_loop()
    container._socket, container._ready = ours, loop.create_future()
    loop.add_reader(ours, container._listen)
    theirs.sendall(said)
    if b"null" in said:
        theirs.close()  # it may say so: of a run that was forgotten it hears nothing
    async with asyncio.timeout(PATIENCE_S):
        while container._losing is None:
            await asyncio.sleep(0)
        await container._losing
    if b"ready" not in said:
        with pytest.raises(ContainerFailed):
            await container._ready
    ours.close()
    theirs.close()
