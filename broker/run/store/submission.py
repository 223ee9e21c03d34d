"""A submission → rows of jobs, with the document, the spec and the tags that they share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection, insert, literal, select

from broker.model.budgets import Reservation
from broker.model.errors import Conflict
from broker.model.jobs import Job
from broker.run.store.budgeting import reserve
from broker.run.store.rows import job_values
from broker.run.store.specs import Specs, keep_document, keep_specs
from broker.run.store.tables import documents, job_tags, jobs, tags


def add(
    connection: Connection,
    known: Specs,
    added: Sequence[Job],
    document: str,
    hashed: str,
    reserving: Reservation | None = None,
) -> tuple[Job, ...]:
    """Stores jobs, or returns those that an earlier submission of the same document stored. Raises Conflict."""
    if not added:
        return ()
    head = added[0].array_id or added[0].id
    if earlier := _earlier(connection, known, head, hashed):
        return earlier
    document_id = keep_document(connection, document, hashed)
    spec_ids = keep_specs(connection, added)
    connection.execute(
        insert(jobs),
        [
            {**job_values(job), "spec_id": spec_id, "document_id": document_id}
            for job, spec_id in zip(added, spec_ids, strict=True)
        ],
    )
    # Tasks of an array share their spec and follow each other: one pass per run of equals is one pass per array.
    for (head, spec_id), run in groupby(zip(added, spec_ids, strict=True), lambda x: (x[0].array_id or x[0].id, x[1])):
        _tag(connection, head, spec_id, next(run)[0].spec.tags)
    if reserving is not None:
        reserve(connection, [job.id for job in added], reserving)
    return tuple(added)


def _earlier(connection: Connection, known: Specs, head: str, hashed: str) -> tuple[Job, ...]:
    stored = connection.execute(
        select(documents.c.hash).join(jobs, jobs.c.document_id == documents.c.id).where(jobs.c.head == head).limit(1)
    ).scalar()
    if stored is None:
        return ()
    if stored != hashed:
        raise Conflict(f"{head} was submitted before with another content: choose another id, or submit the same again")
    return known.jobs(
        connection, connection.execute(select(jobs).where(jobs.c.head == head).order_by(jobs.c.seq)).all()
    )


def _tag(connection: Connection, head: str, spec_id: int, wanted: dict[str, str]) -> None:
    for key, value in wanted.items():
        found = connection.execute(select(tags.c.id).where(tags.c.key == key, tags.c.value == value)).scalar()
        tag_id = (
            found or connection.execute(insert(tags).values(key=key, value=value).returning(tags.c.id)).scalar_one()
        )
        tagged = select(literal(tag_id), jobs.c.submitted_ns, jobs.c.seq).where(
            jobs.c.head == head, jobs.c.spec_id == spec_id
        )
        connection.execute(insert(job_tags).from_select(["tag_id", "submitted_ns", "job_seq"], tagged))
