"""Submissions → rows of jobs, with the documents, specs and tags that they share, in few statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Insert, Select, bindparam, func, insert, literal, select

from broker.model.acting import LONGEST_TARGET, about
from broker.model.errors import Conflict, OverQuota
from broker.model.jobs import Job, JobState
from broker.model.projects import DEFAULT_PROJECT, Waiting
from broker.model.submissions import Entry
from broker.run.store.blobs import keep_blob
from broker.run.store.budgeting import reserve
from broker.run.store.job_counts import count_in
from broker.run.store.projects import no_project
from broker.run.store.rows import job_values
from broker.run.store.specs import Specs, chunks, places, places_of, put
from broker.run.store.tables import changes, documents, job_tags, jobs
from broker.run.store.tenancy_tables import projects
from broker.run.store.together import together

_INTO_JOBS: Final = insert(jobs).inline()


def add(
    connection: Connection, known: Specs, entries: Sequence[Entry], *, last: bool = False
) -> tuple[tuple[Job, ...], ...]:
    """Stores each entry, or finds the jobs that an earlier submission of the same document stored.

    `last`: nothing is read after it in this transaction.

    Raises Conflict, and InvalidInput for a project that is not there.
    """
    for entry in entries[:LONGEST_TARGET]:
        about(_head(entry) if entry.jobs else "", entry.act)
    earlier = _earlier(connection, known, entries)
    fresh = [entry for entry in entries if entry.jobs and _head(entry) not in earlier]
    if fresh:
        for entry in fresh:
            for sha256, data in entry.blobs:
                keep_blob(connection, sha256, data, entry.jobs[0].submitted_ns)
        _store(connection, known, fresh, last=last)
    return tuple(earlier.get(_head(entry), entry.jobs) if entry.jobs else () for entry in entries)


def _head(entry: Entry) -> str:
    first = entry.jobs[0]
    return first.array_id or first.id


@lru_cache
def _stored_heads(number: int) -> Select[Any]:
    documented = select(jobs.c.head, documents.c.hash).join(documents, jobs.c.document_id == documents.c.id)
    return documented.where(jobs.c.head.in_(places_of("head", number))).distinct()


def _earlier(connection: Connection, known: Specs, entries: Sequence[Entry]) -> dict[str, tuple[Job, ...]]:
    """By head, the jobs of submissions that are there already. Raises Conflict for one of another document."""
    wanted = {_head(entry): entry.document_hash for entry in entries if entry.jobs}
    found: dict[str, tuple[Job, ...]] = {}
    for chunk in chunks(wanted):
        stored = connection.execute(_stored_heads(places(chunk)), put("head", chunk))
        heads = {head: hashed for head, hashed in stored}
        if other := next((head for head, hashed in heads.items() if hashed != wanted[head]), None):
            raise Conflict(
                f"{other} was submitted before with another content: choose another id, or submit the same again"
            )
        if heads:
            query = select(jobs).where(jobs.c.head.in_(heads)).order_by(jobs.c.head, jobs.c.seq)
            there = known.jobs(connection, connection.execute(query).all())
            found |= {head: tuple(each) for head, each in groupby(there, lambda job: job.array_id or job.id)}
    return found


def _in_projects(connection: Connection, names: set[str]) -> None:
    found = connection.execute(select(projects.c.name).where(projects.c.name.in_(names))).scalars()
    for missing in sorted(names - set(found)):
        raise no_project(missing)


def _store(connection: Connection, known: Specs, entries: Sequence[Entry], *, last: bool) -> None:
    if named := {entry.jobs[0].spec.project for entry in entries} - {DEFAULT_PROJECT}:
        _in_projects(connection, named)
    document_ids = known.keep_documents(connection, {entry.document_hash: entry.document for entry in entries})
    spec_ids = known.keep_specs(connection, (job for entry in entries for job in entry.jobs))
    rows = [
        {**job_values(job), "spec_id": spec_ids[id(job.spec)], "document_id": document_ids[entry.document_hash]}
        for entry in entries
        for job in entry.jobs
    ]
    tagged = _tagged(connection, known, (job for entry in entries for job in entry.jobs), spec_ids)
    if last and not any(entry.room or entry.reserving for entry in entries):
        together(connection)
    connection.execute(_INTO_JOBS, rows)
    _tag(connection, tagged)
    _note(connection, entries)
    _check_room(connection, dict.fromkeys(each for entry in entries for each in entry.room))
    for reserving, group in groupby(entries, lambda entry: entry.reserving):
        if reserving is not None:
            reserve(connection, [job.id for entry in group for job in entry.jobs], reserving)
    count_in(connection, Counter(job.state for entry in entries for job in entry.jobs))


def _note(connection: Connection, entries: Iterable[Entry]) -> None:
    """Begins the history of jobs that are not stored as they were sent."""
    for entry in entries:
        if entry.note:
            queued = literal(JobState.QUEUED.value)
            said = (literal(entry.jobs[0].submitted_ns), literal("sent"), queued, literal(entry.note))
            columns = ["job_seq", "at_ns", "old", "new", "reason"]
            noted = select(jobs.c.seq, *said).where(jobs.c.head == _head(entry))
            connection.execute(insert(changes).from_select(columns, noted))


def _check_room(connection: Connection, wanted: Iterable[Waiting]) -> None:
    """Raises OverQuota where more wait now than may. Who submits there too waits for this transaction."""
    for each in wanted:
        if connection.dialect.name == "postgresql":
            name = f"queue {each.project}"
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
        query = select(func.count()).where(jobs.c.project == each.project, jobs.c.state == JobState.QUEUED.value)
        if each.user is not None:
            query = query.where(jobs.c.user == each.user)
        if (found := connection.execute(query).scalar_one()) > each.most:
            whose = "the project" if each.user is None else f"{each.user} in the project"
            raise OverQuota(
                f"with these, {found:,} jobs of {whose} {each.project!r} would wait, and {each.most:,} may: "
                "submit again when some of them have begun"
            )


def _tagged(
    connection: Connection, known: Specs, added: Iterable[Job], spec_ids: Mapping[int, int]
) -> dict[int, dict[str, int]]:
    """By the key of a tag, the heads of jobs that have it, with the keys of their specs."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for job in added:
        for tag in job.spec.tags.items():
            found.setdefault(tag, {})[job.array_id or job.id] = spec_ids[id(job.spec)]
    return {known.keep_tag(connection, *tag): heads for tag, heads in found.items()}


def _tag(connection: Connection, tagged: Mapping[int, Mapping[str, int]]) -> None:
    """Tags jobs, tag by tag: a statement for each, and for however many jobs."""
    for tag_id, heads in tagged.items():
        for chunk in chunks(heads):
            of = list({heads[head] for head in chunk})
            connection.execute(
                _tagging(places(chunk), places(of)), {"tag_id": tag_id} | put("head", chunk) | put("spec", of)
            )


@lru_cache
def _tagging(heads: int, specs: int) -> Insert:
    tagged = select(bindparam("tag_id", type_=job_tags.c.tag_id.type), jobs.c.submitted_ns, jobs.c.seq)
    of = jobs.c.head.in_(places_of("head", heads)), jobs.c.spec_id.in_(places_of("spec", specs))
    return insert(job_tags).from_select(["tag_id", "submitted_ns", "job_seq"], tagged.where(*of))
