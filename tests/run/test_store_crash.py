"""A broker killed while it writes: what it stored is there, wholly or not at all."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing, suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from broker.model.errors import StoreAway
from broker.model.jobs import JobState
from broker.run.store import open_store

TASKS = 40
WRITER = f"""
import sys
from dataclasses import replace
from broker.model.jobs import JobState
from broker.run.store import open_store
from broker.testing.store_values import array, attempt, change, charge, report

store = open_store(sys.argv[1])
for number in range(1, 10_000):
    tasks = store.add_jobs(array(f"a{{number}}", {TASKS}), "{{}}", "h")
    store.record(
        jobs=[replace(task, state=JobState.RUNNING, attempts=1) for task in tasks],
        attempts=[attempt(task) for task in tasks],
        changes=[change(task, "running") for task in tasks],
    )
    store.settle("home", report(number), [charge(f"k{{number}}-{{n}}", number - 1, 1) for n in range({TASKS})])
    print(number, flush=True)
"""


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_all_of_a_transaction_is_there_or_nothing(sqlite_url: str, rounds: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, sqlite_url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        done = [int(writer.stdout.readline()) for _ in range(rounds)][-1]
        writer.kill()
    with closing(open_store(sqlite_url)) as store:
        counts = store.counts()
        running, queued = counts[JobState.RUNNING], counts[JobState.QUEUED]
        assert running >= done * TASKS
        assert running % TASKS == queued % TASKS == 0
        assert queued <= TASKS
        assert len(store.open_attempts()) == running
        assert store.watermark("home") >= done
        assert len(store.charges(pool="home")) == store.watermark("home") * TASKS
        last = store.recorded(f"a{done}.0")
        assert (last.job.state, len(last.attempts), len(store.changes(last.job.id))) == (JobState.RUNNING, 1, 1)


def test_a_connection_lost_earlier_in_a_transaction_means_that_the_database_is_away(
    postgresql_url: str,
) -> None:
    """As PostgreSQL ends one of a machine that stood still within it: what was asked is asked again."""
    with closing(open_store(postgresql_url)) as store, pytest.raises(StoreAway), store._write() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with store._engine.connect() as another:
            another.execute(text(f"SELECT pg_terminate_backend({pid})"))
        for _ in range(2):
            with suppress(DBAPIError):
                connection.execute(text("SELECT 1"))
