"""How many jobs are in each state: kept with every job and every change of its state, so that nobody counts them all.

Brokers that count at once do so in rows of their own, and rarely wait for each other. Whoever counts in a transaction
does it after all that the transaction may have to wait for, so that none waits for another in a circle.
"""

from __future__ import annotations

from collections import Counter
from random import randrange
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Integer, Table, Text, func, select

from broker.model.jobs import JobState
from broker.run.store.engine import add_up
from broker.run.store.tables import metadata

_PARTS: Final = 64
_MINE: Final = randrange(_PARTS)

job_counts: Final = Table(
    "job_counts",
    metadata,
    Column("state", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("jobs", BigInteger, nullable=False),
)
_IN_ALL: Final = select(job_counts.c.state, func.sum(job_counts.c.jobs)).group_by(job_counts.c.state)


def count_in(connection: Connection, more: Counter[JobState]) -> None:
    """Counts in so many more jobs of each state; negative numbers are jobs that have left it."""
    rows = [{"state": state.value, "part": _MINE, "jobs": number} for state, number in sorted(more.items()) if number]
    add_up(connection, job_counts, rows)


def counted(connection: Connection) -> dict[JobState, int]:
    """How many jobs are in each state that any was in."""
    return {JobState(state): int(number) for state, number in connection.execute(_IN_ALL)}
