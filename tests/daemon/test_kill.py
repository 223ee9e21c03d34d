"""A daemon that SIGKILLs itself right before and right after each step of a job's life: nothing lost, nothing twice."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from broker.model.errors import BrokerError, DaemonError
from broker.model.usage import ChargeKind
from broker.run.lifecycle import is_running
from broker.run.store import open_store
from broker.sdk.call_requests import submit_calls
from broker.sdk.pickling import pickled_arguments, pickled_function, unpacked
from broker.sdk.results import await_end
from tests.daemon.running import Daemon, daemon, until

# What a process imports first: in the daemon, each write is watched for the moment that a file names.
WATCHED = """
import os, signal, sys
if "broker.api.serve" in sys.orig_argv:
    from broker.run.attempts.archive import Archive
    from broker.run.store.sql_store import SqlStore

    def due(moments, when):
        try:
            wanted = open(os.environ["KILL_AT"]).read()
        except FileNotFoundError:
            return
        if wanted in [f"{when} {moment}" for moment in moments]:
            os.unlink(os.environ["KILL_AT"])
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(method, moments):
        real = getattr(SqlStore, method)

        def watched(*args, **kwargs):
            due(moments(args, kwargs), "before")
            value = real(*args, **kwargs)
            due(moments(args, kwargs), "after")
            return value

        setattr(SqlStore, method, watched)

    watch("add_batch", lambda args, kwargs: ["submitted"])
    watch("begin", lambda args, kwargs: ["called"])
    for recording in ("decide", "record"):
        watch(recording, lambda args, kwargs: [str(job.state) for job in kwargs.get("jobs", ())])
    watch("settle", lambda args, kwargs: ["charged"] * any(charge.kind == "job" for charge in args[3]))
    keep = Archive.keep

    async def watched(*args):
        due(["archived"], "before")
        await keep(*args)
        due(["archived"], "after")

    Archive.keep = watched
"""
MOMENTS = ("submitted", "starting", "running", "succeeded", "archived", "charged")


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(WATCHED)
    with daemon(environment={"PYTHONPATH": str(folder), "KILL_AT": str(folder / "kill-at")}) as here:
        here.up()
        yield here


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_transition_it_goes_on(fragile: Daemon, moment: str, when: str) -> None:
    job_id, killed = f"{when}-{moment}", fragile.pid
    at = Path(fragile.environment["KILL_AT"])
    at.write_text(f"{when} {moment}")
    with suppress(BrokerError):  # it may be before this is answered
        fragile.submit("echo ran; sleep 0.1", id=job_id)
    until(lambda: not is_running(fragile.state_dir), "it is dead")
    assert not at.exists(), "it was not the moment that killed it"
    fragile.up()
    assert fragile.pid != killed
    assert fragile.submit("echo ran; sleep 0.1", id=job_id) == job_id, "who was not answered asks again"
    assert fragile.ended(job_id)["state"] == "succeeded"
    assert fragile.output(job_id) == b"ran\n"
    until(lambda: fragile.client.job(job_id)["cost"]["complete"], "it is charged")
    view = fragile.client.job(job_id)
    assert [made["state"] for made in view["made"]] == ["succeeded"]
    assert [line for line in view["charges"] if line["kind"] == "job"]
    _charged_once(fragile)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_when_a_call_is_stored_and_begun_at_once_it_is_called_once(fragile: Daemon, when: str) -> None:
    fragile.ended(fragile.submit("true"))  # nobody waits: the next one begins at once
    client, at = fragile.client, Path(fragile.environment["KILL_AT"])
    function, called_id = pickled_function(len), f"{when}-called"
    at.write_text(f"{when} called")
    flow = partial(
        submit_calls,
        {"id": called_id, "resources": {"cpus": 0.5}},
        "len",
        function,
        [pickled_arguments(len, ["abc"], {})],
    )
    with pytest.raises(DaemonError):
        client.run(flow(set()))
    until(lambda: not is_running(fragile.state_dir), "it is dead")
    assert not at.exists(), "it was not the moment that killed it"
    fragile.up()
    assert fragile.client.run(flow(set()))["id"] == called_id, "who was not answered asks again"
    assert fragile.ended(called_id)["state"] == "succeeded"
    assert [made["state"] for made in fragile.client.job(called_id)["made"]] == ["succeeded"]
    assert unpacked(fragile.client.run(await_end(called_id)).data or b"") == 3
    until(lambda: fragile.client.job(called_id)["cost"]["complete"], "it is charged")
    _charged_once(fragile)


def _charged_once(here: Daemon) -> None:
    """No moment of a container is in two charges."""
    store = open_store(f"sqlite:///{here.state_dir / 'broker.db'}")
    spans = defaultdict(list)
    for charge in store.charges(pool="burst"):
        if charge.kind is not ChargeKind.ROUNDING:
            spans[charge.unit_id].append((charge.started_ns, charge.ended_ns))
    store.close()
    assert spans
    for unit in spans.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(unit)))
