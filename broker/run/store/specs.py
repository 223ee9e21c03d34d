"""Spec rows ↔ JobSpecs: each spec is kept once by its hash, and read once however many jobs share it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from threading import Lock
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, Table, select

from broker.model.environment import environment_key
from broker.model.jobs import Job, JobSpec
from broker.run.store.engine import insert_new
from broker.run.store.rows import Values, digest, job_of
from broker.run.store.spec_json import dump_spec, load_spec
from broker.run.store.tables import specs

Item = TypeVar("Item")
_CHUNK: Final = 500  # names in one query: databases limit them
_MOST_NEEDS: Final = 1_000_000


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
        self._needs: dict[int, tuple[str, int]] = {}  # small, and asked for again and again

    def jobs(self, connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Job, ...]:
        """Rows of `jobs` as jobs, in their order."""
        found = self._of(connection, {row.spec_id for row in rows})
        return tuple(job_of(row, found[row.spec_id]) for row in rows)

    def each(self, connection: Connection, spec_ids: Iterable[int]) -> Iterator[JobSpec]:
        """The specs of these keys, a piece at a time."""
        for chunk in chunks(spec_ids):
            yield from self._of(connection, set(chunk)).values()

    def needs(self, connection: Connection, spec_ids: set[int]) -> dict[int, tuple[str, int]]:
        """The environment and the number of nodes that the jobs of each spec need."""
        with self._lock:
            known = {spec_id: self._needs[spec_id] for spec_id in spec_ids & self._needs.keys()}
        for chunk in chunks(spec_ids - known.keys()):
            read = self._of(connection, set(chunk)).items()
            found = {key: (intern(environment_key(spec)), spec.resources.num_nodes) for key, spec in read}
            known.update(found)
            with self._lock:
                if len(self._needs) > _MOST_NEEDS:
                    self._needs.clear()
                self._needs.update(found)
        return known

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


def keep_specs(connection: Connection, jobs: Iterable[Job]) -> dict[int, int]:
    """Stores the specs of jobs, each once; the key of each by the identity of the spec."""
    bodies = {id(spec): dump_spec(spec) for spec in {id(job.spec): job.spec for job in jobs}.values()}
    hashes = {body: digest(body) for body in set(bodies.values())}
    keys = keep_texts(connection, specs, {hashed: body for body, hashed in hashes.items()})
    return {identity: keys[hashes[body]] for identity, body in bodies.items()}


def keep_texts(connection: Connection, table: Table, texts: Mapping[str, str]) -> dict[str, int]:
    """Stores texts by their hashes, each once; the key of each by its hash."""
    keys = _keys(connection, table, texts)
    for chunk in chunks(texts.keys() - keys.keys()):
        # Another process may be faster: its row is as good.
        rows = [{"hash": hashed, "body": texts[hashed]} for hashed in sorted(chunk)]
        connection.execute(insert_new(connection, table), rows)
        keys |= _keys(connection, table, chunk)
    return keys


def _keys(connection: Connection, table: Table, hashes: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(hashes):
        query = select(table.c.hash, table.c.id).where(table.c.hash.in_(chunk))
        found.update((row.hash, row.id) for row in connection.execute(query))
    return found


def keep_once(connection: Connection, table: Table, values: Values, *names: str) -> int:
    """The key of the row that has these values in the named columns: the one that is there, or a new one."""
    find = select(table.c.id).where(*(table.c[name] == values[name] for name in names))
    found = connection.execute(find).scalar()
    if found is None:
        # Another process may have been faster: its row is as good.
        connection.execute(insert_new(connection, table).values(values))
        found = connection.execute(find).scalar_one()
    return int(found)
