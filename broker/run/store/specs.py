"""Spec rows ↔ JobSpecs: each spec is kept once by its hash, and read once however many jobs share it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, insert, select

from broker.model.jobs import Job, JobSpec
from broker.run.store.rows import digest, job_of
from broker.run.store.spec_json import dump_spec, load_spec
from broker.run.store.tables import documents, specs

Item = TypeVar("Item")
_CHUNK: Final = 500  # names in one query: databases limit them


def chunks(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    """The items in pieces small enough for one query."""
    rest = list(items)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]


class Specs:
    """The specs read last, shared by all threads: a stored spec never changes."""

    def __init__(self, size: int = 1_024) -> None:
        self._size = size
        self._lock = Lock()
        self._read: OrderedDict[int, JobSpec] = OrderedDict()

    def jobs(self, connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Job, ...]:
        """Rows of `jobs` as jobs, in their order."""
        found = self._of(connection, {row.spec_id for row in rows})
        return tuple(job_of(row, found[row.spec_id]) for row in rows)

    def _of(self, connection: Connection, spec_ids: set[int]) -> dict[int, JobSpec]:
        with self._lock:
            found = {spec_id: self._read[spec_id] for spec_id in spec_ids & self._read.keys()}
        for chunk in chunks(spec_ids - found.keys()):
            query = select(specs.c.id, specs.c.body).where(specs.c.id.in_(chunk))
            found.update((row.id, load_spec(row.body)) for row in connection.execute(query))
        with self._lock:
            self._read.update(found)
            while len(self._read) > self._size:
                self._read.popitem(last=False)
        return found


def keep_specs(connection: Connection, jobs: Sequence[Job]) -> list[int]:
    """Stores the specs of jobs, each once; the key of each job's spec."""
    keys: dict[str, int] = {}
    by_identity: dict[int, int] = {}
    for job in jobs:
        if id(job.spec) not in by_identity:
            body = dump_spec(job.spec)
            by_identity[id(job.spec)] = keys.setdefault(body, 0) or _keep(connection, specs, digest(body), body)
            keys[body] = by_identity[id(job.spec)]
    return [by_identity[id(job.spec)] for job in jobs]


def keep_document(connection: Connection, body: str, hashed: str) -> int:
    """Stores a document once; its key."""
    return _keep(connection, documents, hashed, body)


def _keep(connection: Connection, table: Any, hashed: str, body: str) -> int:
    found = connection.execute(select(table.c.id).where(table.c.hash == hashed)).scalar()
    if found is None:
        found = connection.execute(insert(table).values(hash=hashed, body=body).returning(table.c.id)).scalar_one()
    return int(found)
