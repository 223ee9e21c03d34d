"""Units that are heads, and when units were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Adds the columns; of units that were there before, none is a head."""
    op.add_column("units", sa.Column("asked_ns", sa.BigInteger(), nullable=True))
    op.add_column("units", sa.Column("head", sa.Boolean(), nullable=False, server_default=sa.false()))
