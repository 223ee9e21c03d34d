"""A broker's daemon with a pool of functions at Modal: a warm container serves two jobs, and each pays its part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import pytest
import pytest_asyncio

from tests.executors.at_the_shell import Shell
from tests.executors.modal.server.service import ModalServer
from tests.executors.modal.test_end_to_end import CPUS, EXAMPLE, GIB, modal_at_the_shell

FUNCTIONS = EXAMPLE.with_name("modal-functions.toml")


@pytest_asyncio.fixture
async def shell(server: ModalServer) -> AsyncIterator[Shell]:
    async with modal_at_the_shell(server, FUNCTIONS) as person:
        yield person


@pytest.mark.usefixtures("containers")
async def test_two_jobs_share_a_container_and_cost_what_modal_asks(shell: Shell, server: ModalServer) -> None:
    wanted = ("--gpus", "H100", "--cpus", str(CPUS), "--memory", f"{GIB}GiB", "--est-runtime", "1s")
    jobs = []
    for _ in range(2):
        jobs.append(await shell.call("submit", "-d", *wanted, "--", "sh", "-c", "echo $BROKER_POOL; sleep 1"))
        await shell.call("wait", jobs[-1])
        assert await shell.call("logs", jobs[-1]) == "functions"
    assert len({call.task_id for call in server.functions.calls.values()}) == 1
    rate = Decimal("3.9492") + CPUS * Decimal("0.02358") / 2 * 2 + GIB * Decimal("0.007992")
    for job, kinds in zip(jobs, ({"cold_start", "job"}, {"job"}), strict=True):
        shown = await shell.json("show", job)
        charges = shown["charges"]
        ran = [charge for charge in charges if charge["kind"] == "job"]
        assert kinds <= {charge["kind"] for charge in charges}
        assert {charge["price"]["offer"] for charge in ran} == {"modal/functions/h100/auto/serverless"}
        billed = sum(Decimal(charge["amount"]["nanodollars"]) for charge in ran) / 10**9
        whole = datetime.fromisoformat(shown["ended_at"]) - datetime.fromisoformat(shown["submitted_at"])
        most_s = max(2.5, whole.total_seconds())  # that of a busy machine
        assert 1 <= billed / rate * 3600 < most_s, "a second of work, at the rate of functions"
