"""A store with as many jobs as are asked for, written by SQLite itself: what benchmarks of a large past stand on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from broker.decide.expand import expand
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S
from broker.ports import Store

DAYS: Final = 90
USERS: Final = 40
NAMES: Final = 200
_DAY_NS: Final = 86_400 * NS_PER_S
_NUMBERS: Final = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"

# Numbers that look random and are the same each time; every third job runs in `burst`, every fiftieth failed.
_JOBS: Final = f"""
CREATE TEMP TABLE made AS {_NUMBERS}
SELECT i, 'm' || i AS id, 'user' || (i * 7919 % {USERS}) AS user, 'job-' || (i * 104729 % {NAMES}) AS name,
    :begin_ns + i * :gap_ns AS submitted_ns, :begin_ns + i * :gap_ns + (i * 31 % 40) * {NS_PER_S} AS started_ns,
    (60 + i * 7907 % 1200) * {NS_PER_S} AS ran_ns, iif(i % 3, 'ray', 'burst') AS pool,
    iif(i % 50, 'succeeded', 'failed') AS state
FROM n
"""
_INTO_JOBS: Final = """
INSERT INTO jobs(id, head, spec_id, document_id, user, name, rank, task_envs, state, submitted_ns, not_before_ns,
    cancel_requested, attempts, reason, started_ns, ended_ns, exit_code, pool)
SELECT made.id, made.id, like.spec_id, like.document_id, made.user, made.name, 0, like.task_envs, made.state,
    made.submitted_ns, 0, 0, 1, '', made.started_ns, made.started_ns + ran_ns,
    iif(made.state = 'failed', 1, 0), made.pool
FROM made, jobs AS like WHERE like.id = :like
"""
_INTO_ATTEMPTS: Final = """
INSERT INTO attempts(id, job_seq, number, pool, cpus, memory_bytes, gpus, gpu_model, disk_bytes, state, stored_ns,
    started_ns, ended_ns, exit_code, reason)
SELECT made.id || '-a1', jobs.seq, 1, made.pool, 2, 4294967296, 1, 'L4', 0, made.state, made.submitted_ns,
    made.started_ns, made.started_ns + ran_ns, jobs.exit_code, ''
FROM made JOIN jobs ON jobs.id = made.id
"""
_INTO_CHARGES: Final = """
INSERT INTO charges(key, book, kind, pool, unit_id, attempt_id, job_seq, started_ns, ended_ns, amount, predicted,
    resolves)
SELECT made.id || what.kind, 'metered', what.kind, made.pool, 'unit', made.id || '-a1', jobs.seq, made.started_ns,
    made.started_ns + ran_ns, ran_ns / 4500 / what.part, iif(what.part = 1, ran_ns / 4400, NULL), 0
FROM made JOIN jobs ON jobs.id = made.id
    JOIN (SELECT 'job' AS kind, 1 AS part UNION ALL SELECT 'idle_tail', 20) AS what
    ON what.kind = 'job' OR made.pool = 'burst'
"""

_INTO_SPEND_DAYS: Final = """
INSERT INTO spend_days
SELECT charges.started_ns / 86400000000000, charges.pool, charges.kind, charges.book, jobs.user, sum(amount),
    coalesce(sum(predicted), 0), count(*), count(amount), 0, count(predicted)
FROM charges JOIN jobs ON jobs.seq = charges.job_seq GROUP BY 1, 2, 3, 4, 5
"""


def fill(store: Store, folder: Path, count: int, now_ns: int) -> None:
    """So many ended jobs of the last 90 days, with attempts and charges, in the store of this folder."""
    (like,) = expand(JobSpec(name="like", run="true"), "like", "ann", now_ns - DAYS * _DAY_NS)
    store.add_jobs([like], "{}", "h")
    values = {"count": count, "begin_ns": now_ns - DAYS * _DAY_NS, "gap_ns": DAYS * _DAY_NS // (count + 1)}
    with sqlite3.connect(folder / "broker.db") as database:
        for statement in (_JOBS, _INTO_JOBS, _INTO_ATTEMPTS, _INTO_CHARGES, _INTO_SPEND_DAYS):
            database.execute(statement, values | {"like": like.id})
        database.execute("DELETE FROM jobs WHERE id = ?", [like.id])
    database.close()
