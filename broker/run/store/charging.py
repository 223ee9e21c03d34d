"""New charges → rows, and all the sums that are kept of charges, in one step."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from broker.run.store import array_costs, spend_days
from broker.run.store.rows import Values
from broker.run.store.specs import chunks
from broker.run.store.tables import charges, jobs


def charged(connection: Connection, rows: Sequence[Values]) -> None:
    """Appends charges, of which there is one or more."""
    connection.execute(insert(charges), rows)
    users: dict[int | None, str] = {None: ""}
    arrays: dict[int | None, str] = {}
    for chunk in chunks(sorted({row["job_seq"] for row in rows} - {None})):
        query = select(jobs.c.seq, jobs.c.user, jobs.c.head, jobs.c.array_index).where(jobs.c.seq.in_(chunk))
        for seq, user, head, index in connection.execute(query):
            users[seq] = user
            if index is not None:
                arrays[seq] = head
    spend_days.count_in(connection, rows, users)
    array_costs.count_in(connection, rows, arrays)
