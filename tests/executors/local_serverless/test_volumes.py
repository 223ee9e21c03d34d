"""Volumes in containers on this machine: who may only read one can't write to it, whatever the job tries."""

from pathlib import Path

import pytest

from broker.model.errors import Rejected
from broker.model.jobs import AttemptState
from broker.ports import ExecutorContext
from broker.testing import builders
from broker.testing.builders import launch_request
from broker.testing.executor_watch import SystemClock, Watch
from executors.local_serverless import LocalServerless, sandbox

HOSTILE = "cat in/x; echo mine > out/x; for at in in $BROKER_VOLUME_SETS; do echo bad > $at/x; rm $at/x; done; exit 0"


def executor(tmp_path: Path, isolation: str) -> Watch:
    for name in ("sets", "runs"):
        (tmp_path / "volumes" / name).mkdir(parents=True)
    (tmp_path / "volumes" / "sets" / "x").write_text("good\n")
    pool = builders.pool(executor="local_serverless", volumes="local", options={"isolation": isolation, "prepared": 0})
    volumes, clock = str(tmp_path / "volumes"), SystemClock()
    return Watch(LocalServerless(ExecutorContext(pool=pool, state_dir=tmp_path, clock=clock, volumes=volumes)))


def request(run: str, **fields: object):
    return launch_request(run, volumes={"in": "sets", "out": "runs"}, volumes_at="local", **fields)


@pytest.mark.skipif(sandbox.strongest() != "bubblewrap", reason="no bubblewrap works here")
async def test_a_volume_that_may_only_be_read_stays_as_it_is(tmp_path: Path) -> None:
    watch = executor(tmp_path, "bubblewrap")
    await watch.executor.open()
    try:
        hostile = request(HOSTILE, volumes_read_only=("sets",))
        assert (await watch.run(hostile)).state is AttemptState.SUCCEEDED
        assert await watch.output(hostile.attempt_id) == b"good\n"
        assert (tmp_path / "volumes" / "sets" / "x").read_text() == "good\n"
        assert (tmp_path / "volumes" / "runs" / "x").read_text() == "mine\n"
        # The same job where it may write gets another container, not the one that is warm.
        assert (await watch.run(request(HOSTILE))).state is AttemptState.SUCCEEDED
        assert not (tmp_path / "volumes" / "sets" / "x").exists()
    finally:
        await watch.executor.close(stop=True)


async def test_where_nothing_keeps_a_job_from_writing_it_does_not_run(tmp_path: Path) -> None:
    watch = executor(tmp_path, "process")
    await watch.executor.open()
    try:
        with pytest.raises(Rejected, match="may only read: install bubblewrap"):
            await watch.executor.launch(request("true", volumes_read_only=("sets",)))
        assert (await watch.run(request("true"))).state is AttemptState.SUCCEEDED
    finally:
        await watch.executor.close(stop=True)
