"""Projects with their members, and the project of each job and budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
_QUEUED = sa.text("state = 'queued' AND NOT cancel_requested")


def upgrade() -> None:
    """Makes the tables and columns."""
    op.create_table(
        "projects",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "members",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "user_name"),
    )
    op.add_column("jobs", sa.Column("project", sa.Text(), nullable=False, server_default="default"))
    op.create_index("jobs_by_project", "jobs", ["project", "state", "submitted_ns", "seq"])
    op.create_index(
        "jobs_placeable_by_project",
        "jobs",
        ["project", "rank", "submitted_ns", "seq", "not_before_ns"],
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
    )
    op.add_column("budgets", sa.Column("project", sa.Text()))
