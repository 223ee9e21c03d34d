"""Whole dollars of what was predicted, summed beside the nanodollars: together they have room for any estimate."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Adds the column; what was summed before stays where it is."""
    op.add_column("spend_days", sa.Column("predicted_usd", sa.BigInteger(), nullable=False, server_default="0"))
