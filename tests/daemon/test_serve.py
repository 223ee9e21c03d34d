"""`broker serve` as its users run it: a real process with API workers on PostgreSQL, and everything by HTTP."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from broker.run.lifecycle import is_running
from executors.ray_cluster.ports import free_ports
from tests.daemon.running import BROKER, WAIT_S, Daemon, Gate, daemon, until


@contextmanager
def serving(here: Daemon, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`broker serve`, and where it answers."""
    (port,) = free_ports(1)
    environment = {**os.environ, **here.environment}
    environment |= {"BROKER_STATE_DIR": str(here.state_dir), "BROKER_CONFIG": str(here.config)}
    command = [BROKER, "serve", "--listen", f"127.0.0.1:{port}", *options]
    with (here.state_dir / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(WAIT_S)


def answers(url: str) -> int:
    try:
        return httpx.get(f"{url}/readyz").status_code
    except httpx.TransportError:
        return 0


@pytest.fixture
def here(postgresql_url: str) -> Iterator[Daemon]:
    with daemon(top=f'store_url = "{postgresql_url}"\n') as made:
        yield made


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"broker.api.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_workers_answer_with_tokens_and_a_job_goes_on_after_sigterm(here: Daemon) -> None:
    gate = Gate()
    with serving(here, "--workers", "2", "--drain", "10s") as (url, process), ExitStack() as stack:
        until(lambda: answers(url) == 200, "it is ready")
        assert httpx.get(f"{url}/v1/jobs", timeout=WAIT_S).status_code == 401
        token = here.client.create_token("ann", "submit", None)["token"]
        asked = stack.enter_context(
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=WAIT_S)
        )
        until(lambda: not asked.get("/v1/pools").json()["pools"][0]["problem"], "the pool is seen")
        document = {"run": f"echo hello; {gate.wait}; echo done", "resources": {"cpus": 0.5, "memory": "64MiB"}}
        job = asked.post("/v1/jobs", json=document).json()["id"]
        until(lambda: b"hello" in asked.get(f"/v1/jobs/{job}/logs").content, "its output is seen at a worker")
        until(lambda: len(workers_of(process.pid)) == 2, "both workers run")
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        until(lambda: len(workers_of(process.pid)) == 2, "another worker has taken its place")
        until(lambda: answers(url) == 200, "one of them answers, and so has not just begun")
        process.terminate()
        until(lambda: answers(url) == 503, "it says that it is about to end")
        assert asked.get(f"/v1/jobs/{job}").json()["state"] == "running"
        assert process.wait(WAIT_S) == 0
    assert not is_running(here.state_dir)
    gate.open()
    here.up()
    view = here.ended(job)
    assert (view["state"], view["attempts"]) == ("succeeded", 1)
    assert here.output(job) == b"hello\ndone\n"
