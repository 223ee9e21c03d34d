"""Small blobs ↔ rows, with when each was wanted last."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, update

from broker.model.errors import UnknownName
from broker.model.jobs import JobState
from broker.model.money import NS_PER_S
from broker.run.store.engine import inserts
from broker.run.store.kept_tables import schedules
from broker.run.store.specs import Specs, chunks
from broker.run.store.tables import blobs, jobs
from broker.run.store.transactions import Transactions

_NOTED_EVERY_NS: Final = 86_400 * NS_PER_S  # how exactly it is known when one was wanted last: a note costs a write
_GOING: Final = [state.value for state in JobState if not state.ended]


class StoredBlobs(Transactions):
    """`broker.blob_store.BlobStore` in SQL."""

    _specs: Specs

    def put_blob(self, sha256: str, data: bytes, at_ns: int) -> None:
        """Keeps bytes under their hash."""
        with self._write() as connection:
            keep_blob(connection, sha256, data, at_ns)

    def want_blob(self, sha256: str, at_ns: int) -> bool:
        """Whether it is here; notes that it was wanted."""
        with self._read() as connection:
            last_ns: int | None = connection.execute(select(blobs.c.wanted_ns).where(blobs.c.sha256 == sha256)).scalar()
        if last_ns is not None and last_ns < at_ns - _NOTED_EVERY_NS:
            with self._write() as connection:
                _want(connection, sha256, at_ns)
        return last_ns is not None

    def blob(self, sha256: str) -> bytes:
        """The bytes of a hash. Raises UnknownName."""
        with self._read() as connection:
            data: bytes | None = connection.execute(select(blobs.c.data).where(blobs.c.sha256 == sha256)).scalar()
        if data is None:
            raise UnknownName(f"there is no blob {sha256!r}: submit the function again")
        return data

    def blob_bytes(self) -> int:
        """How many bytes all of them have."""
        with self._read() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(func.length(blobs.c.data)), 0))).scalar_one())

    def drop_blobs(self, before_ns: int, but: Collection[str]) -> int:
        """Drops what nobody has wanted since a time; how many."""
        with self._write() as connection:
            old = connection.execute(select(blobs.c.sha256).where(blobs.c.wanted_ns < before_ns)).scalars()
            dropped = [sha256 for sha256 in old if sha256 not in but]
            for chunk in chunks(dropped):
                connection.execute(delete(blobs).where(blobs.c.sha256.in_(chunk)))
        return len(dropped)

    def blobs_in_use(self) -> frozenset[str]:
        """What jobs name that have not ended, and what schedules submit."""
        with self._read() as connection:
            kept = connection.execute(select(schedules.c.document)).scalars()
            scheduled = [call for document in kept if (call := json.loads(document).get("function"))]
            ids = connection.execute(select(jobs.c.spec_id).distinct().where(jobs.c.state.in_(_GOING))).scalars().all()
            calls = [spec.function for spec in self._specs.each(connection, ids) if spec.function]
        named = [name for call in calls for name in (call.blob, call.inputs)]
        named += [call.get(name) for call in scheduled for name in ("blob", "inputs")]
        return frozenset(name for name in named if name)


def keep_blob(connection: Connection, sha256: str, data: bytes, at_ns: int) -> None:
    """Keeps bytes under their hash; of those that are here, that they are wanted."""
    row = {"sha256": sha256, "data": data, "wanted_ns": at_ns}
    connection.execute(_keeping(connection.dialect.name), row)


@lru_cache
def _keeping(dialect: str) -> Any:
    new = inserts(dialect)(blobs)
    later = {"wanted_ns": new.excluded.wanted_ns}
    return new.on_conflict_do_update(
        set_=later, index_elements=["sha256"], where=blobs.c.wanted_ns < new.excluded.wanted_ns
    )


def _want(connection: Connection, sha256: str, at_ns: int) -> None:
    mine = blobs.c.sha256 == sha256
    connection.execute(update(blobs).where(mine, blobs.c.wanted_ns < at_ns).values(wanted_ns=at_ns))
