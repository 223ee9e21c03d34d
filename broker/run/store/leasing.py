"""Brokers and their leases ↔ rows, by the database's clock.

What a broker records is fenced: its transaction first locks the broker's row, and whoever takes over deletes that row
first. So a broker that was taken for gone either has written before, or writes nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, extract, func, insert, select, text, update

from broker.model.errors import Conflict, LeaseLost
from broker.model.leases import Lease, Member, Question, Standing
from broker.model.money import NS_PER_S
from broker.run.store.engine import insert_new
from broker.run.store.specs import places, places_of, put
from broker.run.store.tables import OPEN_ATTEMPT, attempts, brokers, leases, questions
from broker.run.store.transactions import Transactions

CHANNEL: Final = "gpu_broker"  # of LISTEN and NOTIFY
_UNANSWERED_NS: Final = 60 * NS_PER_S
_FOREVER_NS: Final = 2**63 - 1
_LIVES: Final = (
    select(brokers.c.id).where(brokers.c.id == bindparam("member")).with_for_update(read=True, key_share=True)
)


class StoredLeases(Transactions):
    """`broker.lease_store.LeaseStore` in SQL."""

    _fence: str | None = None
    _lock: int | None = None  # of an SQLite file, held for as long as this broker lives

    @property
    def shared(self) -> bool:
        """Whether several brokers may use it at a time."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def _fenced(self, pools: Collection[str] = ()) -> Iterator[Connection]:
        """A transaction that writes what only a living broker may, and the one that drives these pools.

        Raises LeaseLost. Nobody else can have an SQLite file that this broker has locked.
        """
        with self._write() as connection:
            if self._fence is not None and self.shared:
                _check_lives(connection, self._fence, pools)
            yield connection

    def join(self, member: Member, lease_s: float) -> None:
        """A new broker; whoever had its home before is gone. Raises Conflict: an SQLite file serves one broker."""
        if not self.shared:
            self._lock_file()
        with self._write() as connection:
            now_ns = _now_ns(connection)
            # Nobody else has the file, or this folder: who is still listed was killed.
            dead = select(brokers.c.id)
            if self.shared:
                dead = dead.where(brokers.c.home == member.home, brokers.c.home != "")
            _bury(connection, dict.fromkeys(connection.execute(dead).scalars(), now_ns))
            values = {"id": member.id, "name": member.name, "home": member.home}
            expires_ns = _until_ns(connection, now_ns, lease_s)
            connection.execute(insert(brokers).values(**values, expires_ns=expires_ns))
        self._fence = member.id

    def _lock_file(self) -> None:
        file = self._engine.url.database
        if self._lock is not None or file in (None, "", ":memory:"):
            return
        lock = os.open(f"{file}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Conflict(
                f"another broker works on {file}, and an SQLite file serves one: end that one, or let both use a "
                'PostgreSQL database (store_url = "postgresql://…"), which serves several'
            ) from None
        self._lock = lock

    def renew(self, member: Member, lease_s: float, wanted: Mapping[str, str]) -> Standing:
        """Lives on, and takes the wanted leases that are free. Raises LeaseLost."""
        with self._write() as connection:
            now_ns = _now_ns(connection)
            lives = update(brokers).where(brokers.c.id == member.id)
            if not connection.execute(lives.values(expires_ns=_until_ns(connection, now_ns, lease_s))).rowcount:
                raise _lost(member.id)
            over = select(brokers.c.id, brokers.c.expires_ns).where(brokers.c.expires_ns < now_ns)
            gone = connection.execute(over.with_for_update(skip_locked=True))
            _bury(connection, {row.id: row.expires_ns for row in gone})
            _take(connection, member, wanted)
            connection.execute(delete(questions).where(questions.c.asked_ns < now_ns - _UNANSWERED_NS))
            others = select(brokers.c.name).where(brokers.c.id != member.id).order_by(brokers.c.name)
            return Standing(
                now_ns=now_ns,
                leases=tuple(map(_lease, connection.execute(select(leases).order_by(leases.c.name)))),
                others=tuple(connection.execute(others).scalars()),
            )

    def leave(self, member: Member) -> None:
        """It is gone, and its leases are free; where nothing goes on, in whatever place."""
        with self._write() as connection:
            going = select(attempts.c.pool).where(OPEN_ATTEMPT)
            idle = update(leases).where(leases.c.holder == member.id, leases.c.name.not_in(going))
            connection.execute(idle.values(place=""))
            _bury(connection, {member.id: _now_ns(connection)})
        self.unlock()

    def unlock(self) -> None:
        """Lets another broker have the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def take_abandoned(self, member: Member, name: str, away_s: float) -> bool:
        """Takes, whatever its place, a lease that nobody has had for so long. Raises LeaseLost."""
        with self._fenced() as connection:
            long_ns = _now_ns(connection) - round(away_s * NS_PER_S)
            left = (leases.c.name == name, leases.c.holder.is_(None), leases.c.freed_ns < long_ns, leases.c.place != "")
            values = {"holder": member.id, "epoch": leases.c.epoch + 1, "freed_ns": None}
            return connection.execute(update(leases).where(*left).values(values)).rowcount == 1

    def clear_place(self, member: Member, name: str) -> None:
        """Gives back a lease of which nothing is left in its place: it may be taken from anywhere."""
        with self._write() as connection:
            mine = update(leases).where(leases.c.name == name, leases.c.holder == member.id)
            connection.execute(mine.values(holder=None, place="", freed_ns=_now_ns(connection)))

    def publish(self, member: Member, views: Mapping[str, str]) -> None:
        """Says of pools that it drives what others need to know. Raises LeaseLost."""
        with self._fenced() as connection:
            for name, view in views.items():
                mine = update(leases).where(leases.c.name == name, leases.c.holder == member.id)
                connection.execute(mine.values(view=view))

    def ask(self, name: str, body: str) -> int:
        """A question to whoever drives a pool; its number."""
        with self._write() as connection:
            values = {"name": name, "body": body, "asked_ns": _now_ns(connection), "taken": False}
            asked = connection.execute(insert(questions).values(values).returning(questions.c.id))
            return int(asked.scalar_one())

    def questions(self, names: Sequence[str]) -> tuple[Question, ...]:
        """Questions to the drivers of these pools, each given out once."""
        with self._write() as connection:
            new = select(questions).where(questions.c.name.in_(names), ~questions.c.taken).order_by(questions.c.id)
            rows = connection.execute(new.with_for_update(skip_locked=True)).all()
            connection.execute(update(questions).where(questions.c.id.in_([x.id for x in rows])).values(taken=True))
        return tuple(Question(id=row.id, name=row.name, body=row.body) for row in rows)

    def reply(self, question_id: int, data: bytes) -> None:
        """The answer to a question."""
        with self._write() as connection:
            connection.execute(update(questions).where(questions.c.id == question_id).values(answer=data))

    def answer(self, question_id: int) -> bytes | None:
        """The answer, which is forgotten with its question; None where it has not come."""
        with self._write() as connection:
            given = delete(questions).where(questions.c.id == question_id, questions.c.answer.is_not(None))
            found: bytes | None = connection.execute(given.returning(questions.c.answer)).scalar()
            return found

    def tell(self, messages: Sequence[str]) -> None:
        """Tells every broker and API worker that listens, now."""
        if not self.shared:
            return
        with self._write() as connection:
            for message in messages:
                connection.execute(select(func.pg_notify(CHANNEL, message)))

    def check(self) -> None:
        """Returns when the database answers. Raises StoreError."""
        with self._read() as connection:
            connection.execute(text("SELECT 1"))


def _check_lives(connection: Connection, member_id: str, pools: Collection[str]) -> None:
    """Keeps the member, and so its leases, until the end of this transaction. Raises LeaseLost when they are gone."""
    if connection.execute(_LIVES, {"member": member_id}).first() is None:
        raise _lost(member_id)
    if not (named := list(pools)):
        return
    found = connection.execute(_others(places(named)), {"member": member_id} | put("pool", named))
    if (name := found.scalar()) is not None:
        raise LeaseLost(f"the pool {name} is not driven by broker {member_id} any more")


@lru_cache
def _others(number: int) -> Select[Any]:
    """Which of so many pools another broker drives, or none."""
    others = leases.c.holder.is_distinct_from(bindparam("member"))
    return select(leases.c.name).where(leases.c.name.in_(places_of("pool", number)), others)


def _lost(member_id: str) -> LeaseLost:
    return LeaseLost(f"broker {member_id} was silent for longer than its lease: others have taken over what it had")


def _now_ns(connection: Connection) -> int:
    """The time as the database has it: one clock for all brokers. An SQLite file is on this machine."""
    if connection.dialect.name == "sqlite":
        return time.time_ns()
    seconds = extract("epoch", func.clock_timestamp())
    return int(connection.execute(select(seconds)).scalar_one() * NS_PER_S)


def _until_ns(connection: Connection, now_ns: int, lease_s: float) -> int:
    """Until when a broker lives that has just been heard of. Who has the lock of an SQLite file need not be heard."""
    return _FOREVER_NS if connection.dialect.name == "sqlite" else now_ns + round(lease_s * NS_PER_S)


def _bury(connection: Connection, dead: Mapping[str, int]) -> None:
    """Deletes brokers, and frees what they had since when they were gone. Waits for what they are just writing."""
    for member_id, gone_ns in dead.items():
        connection.execute(delete(brokers).where(brokers.c.id == member_id))
        freed = update(leases).where(leases.c.holder == member_id)
        connection.execute(freed.values(holder=None, freed_ns=gone_ns))


def _take(connection: Connection, member: Member, wanted: Mapping[str, str]) -> None:
    for name, place in sorted(wanted.items()):
        new = {"name": name, "place": place, "holder_name": "", "epoch": 0, "freed_ns": 0, "view": ""}
        connection.execute(insert_new(connection, leases).values(new))
        mine = update(leases).where(leases.c.name == name, leases.c.holder.is_(None))
        if connection.dialect.name != "sqlite":  # whose other brokers are gone for good
            mine = mine.where(leases.c.place.in_((place, "")))
        values = {"place": place, "holder": member.id, "holder_name": member.name, "epoch": leases.c.epoch + 1}
        connection.execute(mine.values({**values, "freed_ns": None}))


def _lease(row: Row[Any]) -> Lease:
    return Lease(
        name=row.name,
        place=row.place,
        holder=row.holder,
        holder_name=row.holder_name,
        epoch=row.epoch,
        freed_ns=row.freed_ns,
        view=row.view,
    )
