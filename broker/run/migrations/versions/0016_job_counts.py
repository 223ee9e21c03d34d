"""How many jobs are in each state, so that nobody need count them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
COUNT_IN = "INSERT INTO job_counts SELECT state, 0, count(*) FROM jobs GROUP BY state"


def upgrade() -> None:
    """Makes the table, and counts the jobs that there are."""
    op.create_table(
        "job_counts",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", "part"),
    )
    op.execute(COUNT_IN)
