"""Budgets, and what is reserved in them for jobs that wait and attempts that run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("user", sa.Text()),
        sa.Column("pool", sa.Text()),
        sa.Column("tag_key", sa.Text()),
        sa.Column("tag_value", sa.Text()),
        sa.Column("stop_running", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "reservations",
        sa.Column("job_seq", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"]),
        sa.PrimaryKeyConstraint("job_seq"),
    )
    op.add_column("attempts", sa.Column("reserved", sa.BigInteger()))
    op.create_index("attempts_by_end", "attempts", ["ended_ns"])
