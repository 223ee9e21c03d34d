"""Tables: what the store keeps, as SQLAlchemy Core metadata.

The migrations make them; a test holds both against each other. Times are nanoseconds, money whole nanodollars.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata: Final = MetaData()

# SQLite numbers rows by itself only where the key is declared INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")

# The predicates of partial indexes: a query uses such an index only when it says the same, so both take it from here.
# They are written so that SQLite prefers them to a search by state with a sort.
QUEUED: Final = text("state = 'queued' AND NOT cancel_requested")
DELAYED: Final = text("state = 'queued' AND NOT cancel_requested AND not_before_ns > 0")
CANCELLING: Final = text("cancel_requested AND state NOT IN ('succeeded', 'failed', 'cancelled')")
SUCCEEDED: Final = text("state = 'succeeded'")
OPEN_ATTEMPT: Final = text("state IN ('stored', 'starting', 'running')")
OPEN_UNIT: Final = text("ended_ns IS NULL")


def _key(name: str = "seq") -> Column[Any]:
    return Column(name, Key, primary_key=True, autoincrement=True)


def _resources() -> list[Column[Any]]:
    return [
        Column("cpus", Float, nullable=False),
        Column("memory_bytes", BigInteger, nullable=False),
        Column("gpus", Float, nullable=False),
        Column("gpu_model", Text, nullable=False),
        Column("disk_bytes", BigInteger, nullable=False),
    ]


def _partial(name: str, where: Any, *columns: Any) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


documents: Final = Table(
    "documents",
    metadata,
    _key("id"),
    Column("hash", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)

specs: Final = Table(
    "specs",
    metadata,
    _key("id"),
    Column("hash", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)

# `head` is the array's id for a task and the job's own id otherwise; `rank` is minus the priority, so that the smallest
# comes first; `pool` is that of the last attempt. Every index of a list ends in the list's order.
jobs: Final = Table(
    "jobs",
    metadata,
    _key(),
    Column("id", Text, nullable=False, unique=True),
    Column("head", Text, nullable=False),
    Column("array_index", Integer),
    Column("spec_id", BigInteger, ForeignKey("specs.id"), nullable=False),
    Column("document_id", BigInteger, ForeignKey("documents.id"), nullable=False),
    Column("user", Text, nullable=False),
    Column("project", Text, nullable=False, server_default="default"),
    Column("name", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("task_envs", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("submitted_ns", BigInteger, nullable=False),
    Column("not_before_ns", BigInteger, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("exit_code", Integer),
    Column("pool", Text),
    Index("jobs_by_state", "state", "submitted_ns", "seq"),
    Index("jobs_by_head", "head", "state", "submitted_ns", "seq"),
    Index("jobs_by_user", "user", "state", "submitted_ns", "seq"),
    Index("jobs_by_project", "project", "state", "submitted_ns", "seq"),
    Index("jobs_by_name", "name", "state", "submitted_ns", "seq"),
    Index("jobs_by_pool", "pool", "state", "submitted_ns", "seq"),
    _partial("jobs_placeable", QUEUED, "state", "rank", "submitted_ns", "seq", "not_before_ns"),
    _partial("jobs_placeable_by_project", QUEUED, "project", "rank", "submitted_ns", "seq", "not_before_ns"),
    _partial("jobs_delayed", DELAYED, "state", "not_before_ns"),
    _partial("jobs_cancelling", CANCELLING, "seq"),
    _partial("jobs_succeeded", SUCCEEDED, "user", "name", "ended_ns"),
)

tags: Final = Table(
    "tags",
    metadata,
    _key("id"),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    UniqueConstraint("key", "value"),
)

job_tags: Final = Table(
    "job_tags",
    metadata,
    Column("tag_id", BigInteger, ForeignKey("tags.id"), primary_key=True),
    Column("submitted_ns", BigInteger, primary_key=True),
    Column("job_seq", BigInteger, ForeignKey("jobs.seq"), primary_key=True),
    Index("job_tags_by_job", "job_seq", "tag_id"),
    sqlite_with_rowid=False,
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_seq", BigInteger, ForeignKey("jobs.seq"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("pool", Text, nullable=False),
    *_resources(),
    Column("state", Text, nullable=False),
    Column("stored_ns", BigInteger, nullable=False),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("reason", Text, nullable=False),
    Column("predicted", BigInteger),
    Column("reserved", BigInteger),
    UniqueConstraint("job_seq", "number"),
    Index("attempts_by_end", "ended_ns"),
    _partial("attempts_open", OPEN_ATTEMPT, "pool"),
)

changes: Final = Table(
    "changes",
    metadata,
    _key(),
    Column("job_seq", BigInteger, ForeignKey("jobs.seq"), nullable=False),
    Column("attempt_id", Text),
    Column("at_ns", BigInteger, nullable=False),
    Column("old", Text, nullable=False),
    Column("new", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("changes_by_job", "job_seq", "seq"),
)

placements: Final = Table(
    "placements",
    metadata,
    _key(),
    Column("job_seq", BigInteger, ForeignKey("jobs.seq"), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("pool", Text),
    Column("predicted", BigInteger),
    Column("body", Text, nullable=False),
    Index("placements_by_job", "job_seq", "seq"),
)

units: Final = Table(
    "units",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("unit_id", Text, primary_key=True),
    *_resources(),
    Column("started_ns", BigInteger, nullable=False),
    Column("ready_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("caused_by", Text),
    Column("last_attempt", Text),
    Column("asked_ns", BigInteger),
    Column("head", Boolean, nullable=False, server_default=false()),
    _partial("units_open", OPEN_UNIT, "pool"),
    Index("units_by_start", "pool", "started_ns"),
)

attempt_usage: Final = Table(
    "attempt_usage",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("attempt_id", Text, primary_key=True),
    Column("unit_id", Text, primary_key=True),
    Column("started_ns", BigInteger, primary_key=True),
    *_resources(),
    Column("ended_ns", BigInteger),
)

prices_used: Final = Table(
    "prices_used",
    metadata,
    _key("id"),
    Column("hash", Text, nullable=False, unique=True),
    Column("offer_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("gpu_model", Text, nullable=False),
    Column("gpu_count", Float, nullable=False),
    Column("cpus", Float),
    Column("memory_gib", Float),
    Column("usd_per_hour", Text, nullable=False),
    Column("usd_per_cpu_hour", Text),
    Column("usd_per_gib_hour", Text),
    Column("granularity_s", Integer, nullable=False),
    Column("minimum_s", Integer, nullable=False),
    Column("valid_from", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("note", Text, nullable=False),
)

charges: Final = Table(
    "charges",
    metadata,
    _key(),
    Column("key", Text, nullable=False, unique=True),
    Column("book", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("unit_id", Text, nullable=False),
    Column("attempt_id", Text),
    Column("job_seq", BigInteger, ForeignKey("jobs.seq")),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=False),
    Column("amount", BigInteger),
    Column("predicted", BigInteger),
    Column("price_id", BigInteger, ForeignKey("prices_used.id")),
    Column("resolves", Integer, nullable=False, server_default="0"),
    Index("charges_by_job", "job_seq", "started_ns"),
    Index("charges_by_pool", "pool", "started_ns"),
    Index("charges_by_time", "started_ns"),
    Index("charges_by_attempt", "attempt_id", "started_ns"),
)

watermarks: Final = Table(
    "watermarks",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
)

outlooks: Final = Table(
    "outlooks",
    metadata,
    _key(),
    Column("pool", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("outlooks_by_pool", "pool", "at_ns"),
)

decisions: Final = Table(
    "decisions",
    metadata,
    _key(),
    Column("pool", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("decisions_by_time", "at_ns"),
    Index("decisions_by_pool", "pool", "at_ns"),
)

budgets: Final = Table(
    "budgets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("limit", BigInteger, nullable=False),
    Column("period", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("user", Text),
    Column("pool", Text),
    Column("project", Text),
    Column("tag_key", Text),
    Column("tag_value", Text),
    Column("stop_running", Boolean, nullable=False),
)

# What jobs were thought to cost at most when they were submitted, where there was a budget for them.
reservations: Final = Table(
    "reservations",
    metadata,
    Column("job_seq", BigInteger, ForeignKey("jobs.seq"), primary_key=True),
    Column("amount", BigInteger),
)

brokers: Final = Table(
    "brokers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("place", Text, nullable=False),
    Column("holder", Text),
    Column("holder_name", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("freed_ns", BigInteger),
    Column("view", Text, nullable=False),
)

questions: Final = Table(
    "questions",
    metadata,
    _key("id"),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("asked_ns", BigInteger, nullable=False),
    Column("taken", Boolean, nullable=False),
    Column("answer", LargeBinary),
)

blobs: Final = Table(
    "blobs",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("wanted_ns", BigInteger, nullable=False, server_default="0"),
)
