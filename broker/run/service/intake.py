"""Submissions that come at the same time → one transaction; each is answered after its commit, and refused alone.

Nobody waits for company: while some are stored, those that come meanwhile gather, and are stored next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from broker.model.errors import StoreAway
from broker.model.jobs import Job
from broker.model.submissions import Entry
from broker.ports import Store

MOST_JOBS: Final = 1_000  # in one transaction: who comes next waits for no more


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    stored: asyncio.Future[tuple[Job, ...]]

    @property
    def head(self) -> str:
        first = self.entry.jobs[0]
        return first.array_id or first.id


class Intake:
    """Stores submissions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[_Waiting] = deque()
        self._working: asyncio.Task[None] | None = None

    async def add(self, entry: Entry) -> tuple[Job, ...]:
        """Stores a submission that has jobs, with the request it came with. Raises as `Store.add_batch` for it."""
        mine = _Waiting(entry, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), context=Context())  # it is of no one request
        return await mine.stored

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # who is here already comes along
                group = self._group()
                outcomes = await asyncio.to_thread(self._kept, [each.entry for each in group])
                for each, outcome in zip(group, outcomes, strict=True):
                    if each.stored.done():
                        continue  # whoever asked has been cancelled
                    if isinstance(outcome, Exception):
                        each.stored.set_exception(outcome)
                    else:
                        each.stored.set_result(outcome)
        finally:
            while self._waiting:
                self._waiting.popleft().stored.cancel()

    def _group(self) -> list[_Waiting]:
        """Those that are stored next. The same id twice is not among them: the second is to find the first."""
        group = [self._waiting.popleft()]
        heads, jobs = {group[0].head}, len(group[0].entry.jobs)
        while self._waiting and self._waiting[0].head not in heads:
            if (jobs := jobs + len(self._waiting[0].entry.jobs)) > MOST_JOBS:
                break
            group.append(self._waiting.popleft())
            heads.add(group[-1].head)
        return group

    def _kept(self, entries: Sequence[Entry]) -> list[tuple[Job, ...] | Exception]:
        """What became of each. Where one is refused, nothing is stored of any, and each is tried alone."""
        try:
            return list(self._store.add_batch(entries))
        except Exception as error:
            if len(entries) == 1 or isinstance(error, StoreAway):
                return [error for _ in entries]
        return [outcome for entry in entries for outcome in self._kept([entry])]
