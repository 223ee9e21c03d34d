"""When a blob was wanted last: those of long ended jobs are dropped."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Adds the column; what is there is taken as wanted now."""
    op.add_column("blobs", sa.Column("wanted_ns", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(f"UPDATE blobs SET wanted_ns = {time.time_ns()}")
