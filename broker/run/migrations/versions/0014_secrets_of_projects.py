"""Secrets that only jobs of some projects may name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("secrets", sa.Column("projects", sa.Text(), nullable=False, server_default="[]"))
