"""What each day's charges come to, so that a report need not read them all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
COUNT_IN = """
INSERT INTO spend_days
SELECT charges.started_ns / 86400000000000, charges.pool, charges.kind, charges.book,
    coalesce(jobs."user", ''), coalesce(sum(charges.amount), 0), coalesce(sum(charges.predicted), 0), count(*),
    count(charges.amount), sum(charges.resolves), count(charges.predicted)
FROM charges LEFT JOIN jobs ON jobs.seq = charges.job_seq
GROUP BY 1, 2, 3, 4, 5
"""


def upgrade() -> None:
    """Makes the table, and counts what was charged so far."""
    op.create_table(
        "spend_days",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("predicted", sa.BigInteger(), nullable=False),
        sa.Column("charges", sa.BigInteger(), nullable=False),
        sa.Column("priced", sa.BigInteger(), nullable=False),
        sa.Column("resolves", sa.BigInteger(), nullable=False),
        sa.Column("predictions", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "pool", "kind", "book", "user"),
    )
    op.execute(COUNT_IN)
