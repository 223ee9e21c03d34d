"""A disk that fills up under a running daemon: it is said, what was accepted is kept, and it goes on with room."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.sdk.client import Client
from tests.daemon.running import CONFIG, WAIT_S, until

SMALL_DISK = 'mount -t tmpfs -o size=24m,mode=700 tmpfs "$1" && exec "$2" -m broker.api.serve --config "$3"'


def _can_mount() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    done = subprocess.run([unshare, "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small() -> Iterator[Path]:
    """The state folder, as this process sees it, of a daemon whose disk holds 24 MB."""
    folder = Path(tempfile.mkdtemp(prefix="bd-"))
    config = folder.with_suffix(".toml")
    config.write_text(CONFIG.format(top="", containers=2))
    command = ["unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", folder, sys.executable, config]
    environment = {**os.environ, "BROKER_STATE_DIR": str(folder)}
    log = folder.with_suffix(".log")
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        inside = Path(f"/proc/{process.pid}/root{folder}")
        try:
            until(lambda: b"ready\n" in log.read_bytes() or process.poll() is not None, "it is up")
            assert process.poll() is None, log.read_text()
            yield inside
            Client(f"unix:{inside / 'broker.sock'}").shutdown(drain=False)
            process.wait(WAIT_S)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
    folder.rmdir()
    config.unlink()
    log.unlink()


@pytest.mark.skipif(not _can_mount(), reason="a small file system can't be mounted here: unshare -Urm is not allowed")
def test_a_full_disk_is_said_and_nothing_accepted_is_lost(small: Path) -> None:
    client = Client(f"unix:{small / 'broker.sock'}", user="ann")
    job = {"resources": {"cpus": 0.5, "memory": "64MiB"}}
    before = client.submit({**job, "run": "echo before"})["id"]
    assert client.wait(before, WAIT_S)["state"] == "succeeded"
    runs = client.submit({**job, "run": f"until [ -e {small.parent}/go ]; do sleep 0.05; done"})["id"]
    until(lambda: client.job(runs)["state"] == "running", "it runs")
    filler = small / "filler"
    _fill(filler)
    accepted, refusal = [], ""
    for number in range(2_000):
        try:
            accepted.append(client.submit({**job, "run": f"echo {number}", "envs": {"PAD": "x" * 20_000}})["id"])
        except Exception as error:
            refusal = str(error)
            break
    assert "full" in refusal or "space" in refusal
    filler.unlink()
    until(lambda: client.healthy(), "it answers")
    after = client.submit({**job, "run": "echo after"})["id"]
    assert client.wait(after, WAIT_S)["state"] == "succeeded"
    assert b"".join(client.output(before)) == b"before\n"
    assert {client.wait(each, WAIT_S)["state"] for each in accepted} <= {"succeeded"}
    client.cancel(runs)
    assert client.wait(runs, WAIT_S)["state"] == "cancelled"


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
