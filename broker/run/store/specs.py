"""Spec rows ↔ JobSpecs: specs, documents and tags are kept once, and read once however many jobs share them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from sys import intern
from threading import Lock
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from sqlalchemy import BindParameter, Connection, Row, Table, bindparam, insert, select

from broker.model.environment import environment_key
from broker.model.errors import StoreError, Unreadable, said
from broker.model.jobs import FunctionCall, Job, JobSpec, RetryPolicy
from broker.run.lately import Lately
from broker.run.store.engine import insert_new, insert_new_in
from broker.run.store.rows import Values, digest, job_of, unread_job_of
from broker.run.store.spec_json import dump_spec, load_spec
from broker.run.store.tables import documents, specs, tags

log = structlog.get_logger()

Item = TypeVar("Item")
# What reading it may raise: of another version, or damaged.
NONSENSE: Final = (StoreError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
_CHUNK: Final = 500  # names in one query: databases limit them
_MOST_NEEDS: Final = 1_000_000
_ANY_CALL: Final = FunctionCall(blob="", name="", python="")


class Needs(NamedTuple):
    """What the jobs of a spec need, as little as is asked of very many."""

    environment: str
    nodes: int
    wants: JobSpec | None  # of a place, where several GPU models would do; shared by all that want the same


def chunks(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    """The items in pieces small enough for one query."""
    rest = list(items)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]


def places(items: Sequence[Item]) -> int:
    """How many places a query is made with that asks for so many items: the next power of two, so that few are made."""
    return 1 << (len(items) - 1).bit_length()


def places_of(name: str, number: int) -> list[BindParameter[Any]]:
    """These places, to stand in a query that is kept."""
    return [bindparam(f"{name}_{place}") for place in range(number)]


def put(name: str, items: Sequence[Item]) -> dict[str, Item]:
    """The items in their places; those left over have the last item again."""
    return {f"{name}_{place}": items[min(place, len(items) - 1)] for place in range(places(items))}


class Specs:
    """Specs, documents and tags that are stored already: the last of each, shared by all threads.

    They are never changed or removed. Only what another transaction has committed is remembered.
    """

    def __init__(self) -> None:
        self._read: Lately[int, JobSpec] = Lately()
        self._keys: dict[str, Lately[str, int]] = {table.name: Lately() for table in (documents, specs)}
        self._tags: Lately[tuple[str, str], int] = Lately()
        self._lock = Lock()
        self._needs: dict[int, Needs] = {}  # small, and asked for again and again
        self._wants: dict[str, JobSpec] = {}

    def forget(self) -> None:
        """Remembers nothing: another server may answer now, which need not have all that the last one had."""
        caches: list[Lately[Any, Any]] = [self._read, self._tags, *self._keys.values()]
        for each in caches:
            each.clear()
        with self._lock:
            self._needs.clear()
            self._wants.clear()

    def jobs(self, connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Job, ...]:
        """Rows of `jobs` as jobs, in their order. Raises Unreadable, naming those whose description can't be read."""
        try:
            found = self._of(connection, {row.spec_id for row in rows})
            return tuple(job_of(row, found[row.spec_id]) for row in rows)
        except NONSENSE as error:
            raise Unreadable(frozenset(self._unreadable(connection, rows)), error) from error

    def shown(self, connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Job, ...]:
        """The same for people: those that can't be read are there too, with the reason as `unread`."""
        try:
            return self.jobs(connection, rows)
        except Unreadable:
            return tuple(
                job if isinstance(job, Job) else unread_job_of(row, job) for row, job in self._each(connection, rows)
            )

    def _unreadable(self, connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[str]:
        return (row.id for row, job in self._each(connection, rows) if not isinstance(job, Job))

    def _each(self, connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[tuple[Row[Any], Job | str]]:
        """Each row with its job, or with why that can't be read."""
        for row in rows:
            try:
                yield row, job_of(row, self._of(connection, {row.spec_id})[row.spec_id])
            except NONSENSE as error:
                yield row, f"what it is to run can't be read: {said(error)}"

    def each(self, connection: Connection, spec_ids: Iterable[int]) -> Iterator[JobSpec]:
        """The specs of these keys, a piece at a time."""
        for chunk in chunks(spec_ids):
            yield from self._of(connection, set(chunk)).values()

    def needs(self, connection: Connection, spec_ids: set[int]) -> dict[int, Needs]:
        """What the jobs of each spec need; of one that can't be read, one node."""
        with self._lock:
            known = {spec_id: self._needs[spec_id] for spec_id in spec_ids & self._needs.keys()}
        for chunk in chunks(spec_ids - known.keys()):
            read = self._readable(connection, set(chunk)).items()
            found = {key: self._need(spec) for key, spec in read}
            known.update(found)
            with self._lock:
                if len(self._needs) > _MOST_NEEDS:
                    self._needs.clear()
                    self._wants.clear()
                self._needs.update(found)
        return known | {spec_id: Needs("", 1, None) for spec_id in spec_ids - known.keys()}

    def _readable(self, connection: Connection, spec_ids: set[int]) -> dict[int, JobSpec]:
        try:
            return self._of(connection, spec_ids)
        except StoreError as error:
            if len(spec_ids) > 1:
                return {key: spec for each in spec_ids for key, spec in self._readable(connection, {each}).items()}
            log.error("what a job needs is not known", error=str(error))
            return {}

    def _need(self, spec: JobSpec) -> Needs:
        choices = spec.resources.gpu_choices
        wants = None
        if len({gpu.model for gpu in choices}) > 1 or any(gpu.count and not gpu.model for gpu in choices):
            wants = _of_place(spec)
            wants = self._wants.setdefault(dump_spec(wants), wants)
        return Needs(intern(environment_key(spec)), spec.resources.num_nodes, wants)

    def _of(self, connection: Connection, spec_ids: set[int]) -> dict[int, JobSpec]:
        found = self._read.of(spec_ids)
        fresh: dict[int, JobSpec] = {}
        for chunk in chunks(spec_ids - found.keys()):
            query = select(specs.c.id, specs.c.body).where(specs.c.id.in_(chunk))
            fresh.update((spec_id, _loaded(spec_id, body)) for spec_id, body in connection.execute(query).all())
        self._read.put(fresh)
        return found | fresh

    def keep_specs(self, connection: Connection, jobs: Iterable[Job]) -> dict[int, int]:
        """Stores the specs of jobs, each once; the key of each by the identity of the spec."""
        bodies = {id(spec): dump_spec(spec) for spec in {id(job.spec): job.spec for job in jobs}.values()}
        hashes = {body: digest(body) for body in set(bodies.values())}
        keys = self._keep(connection, specs, {hashed: body for body, hashed in hashes.items()})
        return {identity: keys[hashes[body]] for identity, body in bodies.items()}

    def keep_documents(self, connection: Connection, texts: Mapping[str, str]) -> dict[str, int]:
        """Stores documents by their hashes, each once; the key of each by its hash."""
        return self._keep(connection, documents, texts)

    def _keep(self, connection: Connection, table: Table, texts: Mapping[str, str]) -> dict[str, int]:
        lately = self._keys[table.name]
        keys = lately.of(texts)
        for chunk in chunks(texts.keys() - keys.keys()):
            rows = [{"hash": hashed, "body": texts[hashed]} for hashed in sorted(chunk)]
            # What is stored here may yet be taken back: it is remembered when it is found the next time.
            stored = connection.execute(_storing(connection.dialect.name, table), rows)
            keys |= {hashed: key for hashed, key in stored}
            found = _keys_of(connection, table, set(chunk) - keys.keys())
            lately.put(found)
            keys |= found
        return keys

    def keep_tag(self, connection: Connection, key: str, value: str) -> int:
        """Stores a tag once; its key."""
        if found := self._tags.of([(key, value)]):
            return found[key, value]
        stored = connection.execute(select(tags.c.id).where(tags.c.key == key, tags.c.value == value)).scalar()
        if stored is not None:
            self._tags.put({(key, value): stored})
            return int(stored)
        return int(connection.execute(insert(tags).values(key=key, value=value).returning(tags.c.id)).scalar_one())


def _of_place(spec: JobSpec) -> JobSpec:
    """The spec without what is the same to any place that it might run in."""
    return replace(
        spec,
        name="",
        run=None,
        argv=(),
        function=_ANY_CALL if spec.function else None,
        setup=None,
        requirements=(),
        workdir=None,
        file_mounts={},
        envs={},
        secrets=(),
        max_duration_s=None,
        checkpoint_every_s=None,
        retry=RetryPolicy(),
        deadline_ns=None,
        max_wait_s=None,
        est_runtime_s=None,
        max_cost_usd=None,
        array_size=None,
        matrix={},
        tags={},
        priority=0,
        client_id=None,
    )


def _loaded(spec_id: int, body: str) -> JobSpec:
    try:
        return load_spec(body)
    except NONSENSE as error:
        raise StoreError(f"the description {spec_id} that is stored: {said(error)}") from error


@lru_cache
def _storing(dialect: str, table: Table) -> Any:
    """Stores texts that are not there, and tells their keys."""
    return insert_new_in(dialect, table).returning(table.c.hash, table.c.id)


def _keys_of(connection: Connection, table: Table, hashes: Iterable[str]) -> dict[str, int]:
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
