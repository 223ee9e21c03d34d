"""What Ray's Jobs API is told of a Ray program."""

import asyncio
from pathlib import Path
from typing import Any

from broker.model.jobs import JobSpec
from broker.testing.builders import launch_request, pool
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.order import order_of
from executors.ray_cluster.jobs_api import JobsApi

SECRET = "s3cr3t-94817"


class RecordingClient:
    """Takes what is submitted and says that it has ended."""

    def __init__(self, folder: AttemptDir) -> None:
        self.folder, self.told = folder, dict[str, Any]()

    def submit_job(self, **told: Any) -> None:
        self.told = told
        self.folder.write_end({"state": "succeeded"})


async def started(_: int) -> None:
    """Nothing has to be told."""


def test_a_secret_is_in_nothing_that_the_jobs_api_lists(tmp_path: Path) -> None:
    spec = JobSpec(name="program", run="python program.py", secrets=("TOKEN",), runtime="ray")
    request = launch_request(spec=spec, envs={"TOKEN": SECRET}, secret_names=frozenset({"TOKEN"}))
    order = order_of(request, pool(), 1_000, str(tmp_path))
    folder = AttemptDir(tmp_path / "attempts" / request.attempt_id)
    jobs_api = JobsApi("http://nowhere", "node", None)
    jobs_api._client = api = RecordingClient(folder)
    assert asyncio.run(jobs_api.run(order, started)) == {"state": "succeeded"}
    assert api.told["submission_id"] == request.attempt_id
    assert SECRET not in repr(api.told)
    assert folder.order.stat().st_mode & 0o077 == 0
