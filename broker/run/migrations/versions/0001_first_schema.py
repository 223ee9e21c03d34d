"""The first schema: jobs and their runs, history, usage and charges.

Written out here and not taken from the tables of today: a migration stays what it was.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes all tables."""
    _specs()
    _jobs()
    _runs()
    _usage()
    _ledger()
    for table in ("changes", "charges"):
        _append_only(table)


def _resources() -> list[sa.Column[Any]]:
    return [
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Float(), nullable=False),
        sa.Column("gpu_model", sa.Text(), nullable=False),
        sa.Column("disk_bytes", sa.BigInteger(), nullable=False),
    ]


def _where(predicate: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(predicate), "postgresql_where": sa.text(predicate)}


def _specs() -> None:
    op.create_table(
        "documents",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "specs",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "tags",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", "value"),
    )
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", KEY, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("array_index", sa.Integer(), nullable=True),
        sa.Column("spec_id", sa.BigInteger(), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("task_envs", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("submitted_ns", sa.BigInteger(), nullable=False),
        sa.Column("not_before_ns", sa.BigInteger(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("pool", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"]),
        sa.ForeignKeyConstraint(["spec_id"], ["specs.id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("jobs_by_head", "jobs", ["head", "state", "submitted_ns", "seq"])
    op.create_index("jobs_by_name", "jobs", ["name", "state", "submitted_ns", "seq"])
    op.create_index("jobs_by_pool", "jobs", ["pool", "state", "submitted_ns", "seq"])
    op.create_index("jobs_by_state", "jobs", ["state", "submitted_ns", "seq"])
    op.create_index("jobs_by_user", "jobs", ["user", "state", "submitted_ns", "seq"])
    op.create_index(
        "jobs_cancelling",
        "jobs",
        ["seq"],
        **_where("cancel_requested AND state NOT IN ('succeeded', 'failed', 'cancelled')"),
    )
    op.create_index(
        "jobs_delayed",
        "jobs",
        ["state", "not_before_ns"],
        **_where("state = 'queued' AND NOT cancel_requested AND not_before_ns > 0"),
    )
    op.create_index(
        "jobs_placeable",
        "jobs",
        ["state", "rank", "submitted_ns", "seq", "not_before_ns"],
        **_where("state = 'queued' AND NOT cancel_requested"),
    )
    op.create_index("jobs_succeeded", "jobs", ["user", "name", "ended_ns"], **_where("state = 'succeeded'"))
    op.create_table(
        "job_tags",
        sa.Column("tag_id", sa.BigInteger(), nullable=False),
        sa.Column("submitted_ns", sa.BigInteger(), nullable=False),
        sa.Column("job_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"]),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"]),
        sa.PrimaryKeyConstraint("tag_id", "submitted_ns", "job_seq"),
        sqlite_with_rowid=False,
    )
    op.create_index("job_tags_by_job", "job_tags", ["job_seq", "tag_id"])


def _runs() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        *_resources(),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stored_ns", sa.BigInteger(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("predicted", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_seq", "number"),
    )
    op.create_index("attempts_open", "attempts", ["pool"], **_where("state IN ('stored', 'starting', 'running')"))
    op.create_table(
        "changes",
        sa.Column("seq", KEY, autoincrement=True, nullable=False),
        sa.Column("job_seq", sa.BigInteger(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=True),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("changes_by_job", "changes", ["job_seq", "seq"])
    op.create_table(
        "placements",
        sa.Column("seq", KEY, autoincrement=True, nullable=False),
        sa.Column("job_seq", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=True),
        sa.Column("predicted", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("placements_by_job", "placements", ["job_seq", "seq"])


def _usage() -> None:
    op.create_table(
        "units",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        *_resources(),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("ready_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("caused_by", sa.Text(), nullable=True),
        sa.Column("last_attempt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("pool", "unit_id"),
    )
    op.create_index("units_open", "units", ["pool"], **_where("ended_ns IS NULL"))
    op.create_table(
        "attempt_usage",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        *_resources(),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("pool", "attempt_id", "unit_id", "started_ns"),
    )
    op.create_table(
        "watermarks",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pool"),
    )


def _ledger() -> None:
    op.create_table(
        "prices_used",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("offer_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("gpu_model", sa.Text(), nullable=False),
        sa.Column("gpu_count", sa.Float(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=True),
        sa.Column("memory_gib", sa.Float(), nullable=True),
        sa.Column("usd_per_hour", sa.Text(), nullable=False),
        sa.Column("usd_per_cpu_hour", sa.Text(), nullable=True),
        sa.Column("usd_per_gib_hour", sa.Text(), nullable=True),
        sa.Column("granularity_s", sa.Integer(), nullable=False),
        sa.Column("minimum_s", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "charges",
        sa.Column("seq", KEY, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=True),
        sa.Column("job_seq", sa.BigInteger(), nullable=True),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("predicted", sa.BigInteger(), nullable=True),
        sa.Column("price_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"]),
        sa.ForeignKeyConstraint(["price_id"], ["prices_used.id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("charges_by_attempt", "charges", ["attempt_id", "started_ns"])
    op.create_index("charges_by_job", "charges", ["job_seq", "started_ns"])
    op.create_index("charges_by_pool", "charges", ["pool", "started_ns"])
    op.create_index("charges_by_time", "charges", ["started_ns"])


def _append_only(table: str) -> None:
    message = f"{table} are only ever appended"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
