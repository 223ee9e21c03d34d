"""Tables of what people keep here beside jobs: schedules, secrets, volumes. `broker.run.store.tables` says the rest."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, Table, Text, text

from broker.run.store.tables import metadata

DUE_FIRING: Final = text("state = 'due'")

schedules: Final = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("user_name", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("concurrency", Text, nullable=False),
    Column("catch_up", Text, nullable=False),
    Column("starting_deadline_s", Float),
    Column("jitter_s", Float, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("decided_ns", BigInteger, nullable=False),
)

firings: Final = Table(
    "firings",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("at_ns", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("decided_ns", BigInteger, nullable=False),
    Index("firings_due", "at_ns", sqlite_where=DUE_FIRING, postgresql_where=DUE_FIRING),
)

# Values of secrets, sealed: none is readable without a key that is not here.
secrets: Final = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("box", LargeBinary, nullable=False),
    Column("projects", Text, nullable=False, server_default="[]"),
)

volumes: Final = Table(
    "volumes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("place", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("project", Text, nullable=False, server_default="default"),
    Column("shares", Text, nullable=False, server_default='{"*": "write"}'),  # those that came before projects had any
)
