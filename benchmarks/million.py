"""A store with as many jobs as are asked for, written by its database: what benchmarks of a large past stand on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import text

from broker.decide.expand import expand
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S
from broker.run.store import open_store
from broker.run.store.engine import connect

DAYS: Final = 90
USERS: Final = 40
NAMES: Final = 200
ARRAY: Final = 1_000  # tasks of each; every tenth job is one
TAG: Final = ("team", "t1")  # of every third job
_DAY_NS: Final = 86_400 * NS_PER_S
_NUMBERS: Final = "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :count)"

# Numbers that look random and are the same each time; every third job runs in `burst`, every fiftieth failed. The tasks
# of an array came at once, from one user.
_JOBS: Final = f"""
CREATE TEMP TABLE made AS {_NUMBERS}, k AS (SELECT i, CASE WHEN i / {ARRAY} % 10 = 3 THEN i / {ARRAY} END AS a FROM n)
SELECT i, CASE WHEN a IS NULL THEN 'm' || i ELSE 'a' || a || '.' || (i % {ARRAY}) END AS id,
    CASE WHEN a IS NULL THEN 'm' || i ELSE 'a' || a END AS head,
    CASE WHEN a IS NOT NULL THEN i % {ARRAY} END AS place,
    'user' || (coalesce(a, i) * 7919 % {USERS}) AS whose, 'job-' || (coalesce(a, i) * 104729 % {NAMES}) AS name,
    CAST(:begin_ns AS BIGINT) + coalesce(a * {ARRAY}, i) * :gap_ns AS submitted_ns,
    CAST(:begin_ns AS BIGINT) + i * :gap_ns + (i * 31 % 40) * {NS_PER_S} AS started_ns,
    (60 + i * 7907 % 1200) * {NS_PER_S} AS ran_ns, CASE WHEN i % 3 = 0 THEN 'burst' ELSE 'ray' END AS pool,
    CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'succeeded' END AS state
FROM k
"""
_INTO_JOBS: Final = """
INSERT INTO jobs(id, head, array_index, spec_id, document_id, "user", name, rank, task_envs, state, submitted_ns,
    not_before_ns, cancel_requested, attempts, reason, started_ns, ended_ns, exit_code, pool)
SELECT made.id, made.head, made.place, model.spec_id, model.document_id, whose, made.name, 0, model.task_envs,
    made.state, made.submitted_ns, 0, model.cancel_requested, 1, '', made.started_ns, made.started_ns + ran_ns,
    CASE WHEN made.state = 'failed' THEN 1 ELSE 0 END, made.pool
FROM made JOIN jobs AS model ON model.id = CASE WHEN made.i % 3 = 1 THEN 'tagged' ELSE 'plain' END
ORDER BY made.i
"""
_INTO_TAGS: Final = """
INSERT INTO job_tags(tag_id, submitted_ns, job_seq)
SELECT job_tags.tag_id, jobs.submitted_ns, jobs.seq FROM jobs JOIN jobs AS model ON model.id = 'tagged'
    JOIN job_tags ON job_tags.job_seq = model.seq
WHERE jobs.spec_id = model.spec_id AND jobs.id <> 'tagged'
"""
_INTO_ATTEMPTS: Final = """
INSERT INTO attempts(id, job_seq, number, pool, cpus, memory_bytes, gpus, gpu_model, disk_bytes, state, stored_ns,
    started_ns, ended_ns, exit_code, reason)
SELECT made.id || '-a1', jobs.seq, 1, made.pool, 2, 4294967296, 1, 'L4', 0, made.state, made.submitted_ns,
    made.started_ns, made.started_ns + ran_ns, jobs.exit_code, ''
FROM made JOIN jobs ON jobs.id = made.id ORDER BY made.i
"""
_INTO_CHARGES: Final = """
INSERT INTO charges(key, book, kind, pool, unit_id, attempt_id, job_seq, started_ns, ended_ns, amount, predicted,
    resolves)
SELECT made.id || what.kind, 'metered', what.kind, made.pool, 'unit', made.id || '-a1', jobs.seq, made.started_ns,
    made.started_ns + ran_ns, ran_ns / 4500 / what.part, CASE WHEN what.part = 1 THEN ran_ns / 4400 END, 0
FROM made JOIN jobs ON jobs.id = made.id
    JOIN (SELECT 'job' AS kind, 1 AS part UNION ALL SELECT 'idle_tail', 20) AS what
    ON what.kind = 'job' OR made.pool = 'burst' ORDER BY made.i
"""
_INTO_SPEND_DAYS: Final = """
INSERT INTO spend_days (day, pool, kind, book, "user", amount, predicted, charges, priced, resolves, predictions)
SELECT charges.started_ns / 86400000000000, charges.pool, charges.kind, charges.book, jobs."user", sum(amount),
    coalesce(sum(predicted), 0), count(*), count(amount), 0, count(predicted)
FROM charges JOIN jobs ON jobs.seq = charges.job_seq GROUP BY 1, 2, 3, 4, 5
"""
_INTO_ARRAY_COSTS: Final = """
INSERT INTO array_costs SELECT jobs.head, sum(amount), count(*) - count(amount)
FROM charges JOIN jobs ON jobs.seq = charges.job_seq WHERE jobs.array_index IS NOT NULL GROUP BY jobs.head
"""
_INTO_COUNTS: Final = (
    "DELETE FROM job_counts",
    "UPDATE jobs SET state = 'cancelled' WHERE id IN ('tagged', 'plain')",
    "INSERT INTO job_counts SELECT state, 0, count(*) FROM jobs GROUP BY state",
)
_INTO_SUMS: Final = (_INTO_SPEND_DAYS, _INTO_ARRAY_COSTS, *_INTO_COUNTS)
_STEPS: Final = (_JOBS, _INTO_JOBS, _INTO_TAGS, _INTO_ATTEMPTS, _INTO_CHARGES, *_INTO_SUMS)


def fill(url: str, count: int, now_ns: int) -> None:
    """So many ended jobs of the last 90 days, tasks of arrays among them, with attempts and charges, in a store.

    Two more jobs, which they are like, end with them.
    """
    begin_ns, gap_ns = now_ns - DAYS * _DAY_NS, DAYS * _DAY_NS // (count + 1)
    store = open_store(url)
    for name, tags in (("tagged", dict([TAG])), ("plain", {})):
        (like,) = expand(JobSpec(name="like", run="true", tags=tags), name, "ann", begin_ns)
        store.add_jobs([replace(like, not_before_ns=now_ns + _DAY_NS)], "{}", name)  # the broker runs meanwhile
    store.close()
    engine = connect(url)
    with engine.execution_options(writes=True).begin() as connection:
        for statement in _STEPS:
            connection.execute(text(statement), {"count": count, "begin_ns": begin_ns, "gap_ns": gap_ns})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))  # as its own service does by and by
    engine.dispose()
