"""Ray programs through Ray's Jobs API: an order → a submitted Ray job, polled until it ends.

The job's entrypoint is our runner, so that output, exit code, limits and cancellation are those of every other attempt.
It asks Ray for nothing: what the attempt holds is for the program's own tasks and actors, which would wait for ever for
what the entrypoint took.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import tenacity

from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.order import Order
from executors.ray_cluster.tasks import NODE_ID_LABEL

LOOK_S = 0.1
AGENT_WAIT_S = 60.0
ASK_EVERY = 20  # looks between two questions to the Jobs API


class JobsApi:
    """Runs orders through the Jobs API of one cluster, on one node of it, where their folders are.

    `address` is that of the dashboard or of the cluster; `modules` are uploaded so that our code runs there, None where
    it is installed.
    """

    def __init__(self, address: str, node: str, modules: Sequence[str] | None) -> None:
        self._address = address
        self._node = node
        self._environment = {"py_modules": list(modules)} if modules else {}
        self._client: Any = None

    async def run(self, order: Order, started: Callable[[int], Awaitable[None]]) -> dict[str, Any]:
        """Submits it under its attempt id and waits for its end."""
        folder = AttemptDir(Path(order.root) / "attempts" / order.attempt_id)
        folder.make()
        folder.write_private(folder.order, pickle.dumps(order))
        await asyncio.to_thread(self._submit, order, folder)
        running, announced, looks = folder.path / "running", False, 0
        while (outcome := folder.read_end()) is None:
            if not announced and running.exists() and (text := running.read_text()):
                await started(int(text))
                announced = True
            looks += 1
            if looks % ASK_EVERY == 0:
                status = await asyncio.to_thread(self._status, order)
                if status.is_terminal() and not folder.end.exists():
                    return {"state": "interrupted", "reason": f"the Ray job ended without its runner: {status.value}"}
            await asyncio.sleep(LOOK_S)
        return outcome

    def _submit(self, order: Order, folder: AttemptDir) -> None:
        from ray.job_submission import JobSubmissionClient

        if self._client is None:
            self._client = JobSubmissionClient(self._address)
        # The dashboard's agent on a node comes up some seconds after the node itself.
        patient = tenacity.Retrying(
            retry=tenacity.retry_if_exception_message(match=".*No available agent"),
            stop=tenacity.stop_after_delay(AGENT_WAIT_S),
            wait=tenacity.wait_fixed(0.5),
            reraise=True,
        )
        patient(
            self._client.submit_job,
            entrypoint=f"{sys.executable} -m executors.ray_cluster.runner {folder.path}",
            submission_id=order.attempt_id,
            metadata={"broker_attempt": order.attempt_id},
            runtime_env=self._environment,
            entrypoint_label_selector={NODE_ID_LABEL: self._node},
        )

    def _status(self, order: Order) -> Any:
        return self._client.get_job_status(order.attempt_id)
