"""A correction by a bill may tell the cost of charges that had no price."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the column; no charge so far resolves any."""
    op.add_column("charges", sa.Column("resolves", sa.Integer(), nullable=False, server_default="0"))
