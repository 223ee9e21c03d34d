"""Volumes that belong to a project; those that there are stay everybody's, to read and to write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("volumes", sa.Column("project", sa.Text(), nullable=False, server_default="default"))
    op.add_column("volumes", sa.Column("shares", sa.Text(), nullable=False, server_default='{"*": "write"}'))
