"""Tables of who may do what, in the same metadata as those of `tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Table, Text

from broker.run.store.tables import Key, metadata

projects: Final = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

members: Final = Table(
    "members",
    metadata,
    Column("project", Text, primary_key=True),
    Column("user_name", Text, primary_key=True),
    Column("role", Text, nullable=False),
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("revoked_ns", BigInteger),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("audit_by_time", "at_ns"),
    Index("audit_by_user", "user_name", "seq"),
)
