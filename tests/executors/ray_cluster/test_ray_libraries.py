"""Ray Train, Tune, RLlib and Serve, as a user submits them: the jobs of examples/ on a cluster whose node is killed."""

import importlib.util
import json
import os
import re
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.running import WAIT_S, Daemon, until
from tests.executors.ray_cluster import running
from tests.executors.ray_cluster.running import RunningCluster

pytestmark = pytest.mark.timeout(300)

EXAMPLES = Path(__file__).parents[3] / "examples"
POOL = """
[pools.ray]
executor = "ray"
kind = "cluster"
cpus = 2
memory = "2GiB"
max_nodes = {nodes}
price = {{ usd_per_hour = "14.40", source = "a test" }}
"""
OPTIONS = """
[pools.ray.options]
address = "{address}"
token_file = "{folder}/token"
root = "{folder}/nodes"
"""


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips a test without the libraries that its example imports, beyond those of the extra `dev`."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    reason = f"not installed: {', '.join(missing)} (pip install 'gpu-broker[ray-ml]')"
    return pytest.mark.skipif(bool(missing), reason=reason)


@pytest.fixture
def cluster() -> Iterator[RunningCluster]:
    folder = Path(tempfile.mkdtemp(prefix="bray-"))
    made = running.start(folder, scaled=False)
    try:
        made.add({})
        made.add({})
        (folder / "token").write_text(made.token)
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def daemon_with(top: str) -> Iterator[Daemon]:
    folder = Path(tempfile.mkdtemp(prefix="bd-"))
    made = Daemon(folder, top=top)
    try:
        made.up()
        yield made
    finally:
        made.down("--now")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """With a Ray cluster of its own: one node is enough for what loses none."""
    with daemon_with(POOL.format(nodes=1)) as made:
        yield made


@pytest.fixture
def attached(cluster: RunningCluster) -> Iterator[Daemon]:
    """At somebody else's cluster, whose nodes can be killed."""
    with daemon_with(POOL.format(nodes=2) + OPTIONS.format(address=cluster.address, folder=cluster.folder)) as made:
        yield made


def submitted(daemon: Daemon, example: str, *flags: str) -> str:
    said = daemon.call("submit", "-d", "--json", str(EXAMPLES / example), *flags)
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["id"])


def shown(daemon: Daemon, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.call("show", job, "--json").stdout)
    return found


def said(daemon: Daemon, job: str) -> list[str]:
    return daemon.call("logs", job).stdout.splitlines()


def result(daemon: Daemon, job: str) -> dict[str, Any]:
    """What it said at its end; everything that it wrote, where it did not succeed."""
    daemon.ended(job, 240.0)
    lines = said(daemon, job)
    assert shown(daemon, job)["state"] == "succeeded", (shown(daemon, job)["reason"], lines[-40:])
    (line,) = [line for line in lines if line.startswith("result: ")]
    found: dict[str, Any] = json.loads(line.removeprefix("result: "))
    return found


@pytest.mark.timeout(600)  # its cluster of three nodes included, on a machine that does other work too
@needs("torch")
def test_training_goes_on_from_its_checkpoint_when_a_node_is_killed(
    attached: Daemon, cluster: RunningCluster, tmp_path: Path
) -> None:
    job = submitted(attached, "ray-train.yaml", "--env", f"CHECKPOINTS={tmp_path}")
    until(lambda: _epoch(attached, job) >= 3, f"{job} has kept checkpoints")
    doomed = cluster.nodes[-1]
    os.killpg(doomed.pid, signal.SIGKILL)
    doomed.end()
    found = result(attached, job)
    assert found["epoch"] == 19
    assert found["resumed_at"] >= 1  # the checkpoint of the epoch that was said last may not have been kept


def test_a_sweep_stops_by_itself_before_its_cost_limit(daemon: Daemon) -> None:
    flags = ("--max-cost", "0.15", "--est-runtime", "10s", "--env", "SAMPLES=100000", "--env", "SPARE_S=60")
    job = submitted(daemon, "ray-tune.yaml", *flags)
    found = result(daemon, job)
    assert found["trials"] > 1 and 0 < found["distance"] < 10
    assert float(shown(daemon, job)["cost"]["usd"]) <= 0.15


@needs("torch", "gymnasium")
def test_ppo_learns_for_a_few_iterations(daemon: Daemon) -> None:
    job = submitted(daemon, "ray-ppo.yaml")
    assert result(daemon, job)["return"] > 0
    told = [json.loads(line)["iteration"] for line in said(daemon, job) if line.startswith('{"iteration"')]
    assert told == [0, 1, 2]


def test_an_application_answers_where_show_says_until_it_is_cancelled(daemon: Daemon) -> None:
    job = submitted(daemon, "ray-serve.yaml")
    until(lambda: daemon.client.job(job)["endpoint"], f"{job} answers")
    endpoint = daemon.client.job(job)["endpoint"]
    assert f"endpoint   {endpoint}" in daemon.call("show", job).stdout
    with urllib.request.urlopen(f"{endpoint}?text=hello", timeout=WAIT_S) as answer:
        assert json.load(answer) == {"you said": "hello"}
    daemon.call("cancel", job)
    daemon.ended(job)
    assert (shown(daemon, job)["state"], shown(daemon, job)["endpoint"]) == ("cancelled", None)


def _epoch(daemon: Daemon, job: str) -> int:
    """How far it says that it is."""
    return max((int(found) for found in re.findall(rb'"epoch": (\d+),', daemon.output(job))), default=-1)
