"""What the tasks of each array have cost, so that a list need not add them up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
COUNT_IN = """
INSERT INTO array_costs
SELECT jobs.head, coalesce(sum(charges.amount), 0), count(*) - count(charges.amount) - sum(charges.resolves)
FROM charges JOIN jobs ON jobs.seq = charges.job_seq
WHERE jobs.array_index IS NOT NULL AND charges.book IN ('metered', 'correction')
GROUP BY jobs.head
"""


def upgrade() -> None:
    """Makes the table, and counts what was charged so far."""
    op.create_table(
        "array_costs",
        sa.Column("array_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("unpriced", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("array_id"),
    )
    op.execute(COUNT_IN)
