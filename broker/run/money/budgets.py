"""Budgets while the broker runs: jobs that would begin are held against them, and what runs is stopped where asked.

Standings are read from the store every few seconds; in between, what begins is added to them. What was reserved for an
attempt turns into charges meanwhile, so that the sum of both is never too small, but for what exceeds a reservation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from broker.decide.budgets import asked, begun, covers, exhausted, in_words, passed, taken
from broker.model.budgets import Asked, Budget, Reservation, Standing
from broker.model.errors import BrokerError, Conflict
from broker.model.jobs import Job, JobSpec
from broker.model.money import NS_PER_S, Money
from broker.model.placement import Placement, Verdict
from broker.ports import Clock, Store
from broker.run.attempts.register import Register
from broker.run.store.budgeting import no_budget
from broker.run.telling.events import Event

log = structlog.get_logger()

FRESH_S: Final = 2.0  # how old standings may be when jobs are held against them
LOOK_S: Final = 5.0  # how often what runs is looked at


class Budgets:
    """The budgets of the configuration and of the store."""

    def __init__(
        self,
        configured: Sequence[Budget],
        store: Store,
        clock: Clock,
        register: Register,
        tails: Sequence[str] = (),
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """`tails` are the serverless pools, where an attempt is charged for a while after its end.

        `leads`: whether this broker is the one that stops jobs, for all.
        """
        self._leads = leads
        self._tails = tuple(tails)
        self._configured = {budget.name: budget for budget in configured}
        self._stored: dict[str, Budget] = {}
        self._store, self._clock, self._register = store, clock, register
        self._standings: tuple[Standing, ...] = ()
        self._told: dict[tuple[str, int | None], str] = {}  # of a budget in a period, the last mark that was told
        self._read_ns = 0

    @property
    def every(self) -> list[Budget]:
        """All of them by name."""
        return [budget for _, budget in sorted((self._stored | self._configured).items())]

    async def load(self) -> None:
        """Reads those of the store."""
        found = await asyncio.to_thread(self._store.budgets)
        self._stored = {budget.name: budget for budget in found}
        self._read_ns = 0

    async def keep(self, budget: Budget) -> None:
        """Sets a budget. Raises `Conflict` for one of the configuration."""
        self._check_changeable(budget.name)
        await asyncio.to_thread(self._store.keep_budget, budget)
        await self.load()
        self._register.work.set()

    async def drop(self, name: str) -> None:
        """Removes a budget. Raises `Conflict` for one of the configuration, and `UnknownName`."""
        self._check_changeable(name)
        await asyncio.to_thread(self._store.drop_budget, name)
        await self.load()
        self._register.work.set()

    def _check_changeable(self, name: str) -> None:
        if name in self._configured:
            raise Conflict(f"the budget {name!r} is the configuration's: change it there")

    async def standings(self, name: str | None = None) -> tuple[Standing, ...]:
        """How all budgets stand, or one of them. Raises `UnknownName`."""
        wanted = [budget for budget in self.every if name in (None, budget.name)]
        if name is not None and not wanted:
            raise no_budget(name)
        return await self._now(wanted)

    async def reservation(self, spec: JobSpec, user: str, each: Money | None) -> Reservation | None:
        """What is to be reserved for jobs when they are stored; None where no budget is for them."""
        budgets = [budget for budget in self.every if covers(budget, user, spec.tags, None, spec.project)]
        now_ns = self._clock.now_ns()
        if not budgets:
            return None
        return Reservation(each=each, budgets=asked(budgets, now_ns), now_ns=now_ns, tails=self._tails)

    async def warnings(self, reservation: Reservation, jobs: int) -> list[str]:
        """What is said of jobs that budgets have no room for, and that are taken all the same."""
        found = await asyncio.to_thread(self._store.standings, reservation.budgets, reservation.now_ns, self._tails)
        return [said for _, said in taken(found, reservation.each, jobs)]

    async def current(self) -> tuple[Standing, ...]:
        """How they stand for jobs that would begin: as read lately, and what has begun since."""
        if not self.every:
            return ()
        now_ns = self._clock.now_ns()
        if now_ns - self._read_ns >= FRESH_S * NS_PER_S or self._changed(now_ns):
            self._standings = await self._now(self.every)
            self._read_ns = now_ns
        return self._standings

    def look_again(self) -> None:
        """How they stand is to be read before anything else begins."""
        self._read_ns = 0

    def within(self) -> Reservation | None:
        """Where what begins is to be held against them once more when it is recorded; None where there is none."""
        now_ns = self._clock.now_ns()
        if not self.every:
            return None
        return Reservation(each=None, budgets=asked(self.every, now_ns), now_ns=now_ns, tails=self._tails)

    def begin(self, jobs: Mapping[str, Job], placements: Sequence[Placement]) -> None:
        """Reserves what may be needed by those that begin."""
        for each in placements:
            if each.verdict is Verdict.RUN and each.chosen is not None:
                job, quote = jobs[each.job_id], each.chosen
                self._standings = begun(
                    self._standings, job.user, job.spec.tags, quote.pool, quote.p90_full, job.spec.project
                )

    async def run(self) -> None:
        """Tells what budgets have come to, and stops what runs in those that say so once they are spent."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.load()  # another broker may have set some
                if self._leads():
                    await self.tell()
                    await self._stop()
            except BrokerError as error:
                log.error("budgets could not be looked at; it is tried again", error=str(error))

    async def tell(self) -> None:
        """Tells of budgets that have passed a mark, each once in its period; a new broker tells again."""
        standings = await self._now(self.every)
        new = [each for each in standings if (mark := passed(each)) and mark != self._told.get(_key(each))]
        self._told = {_key(each): passed(each) for each in standings}
        now_ns = self._clock.now_ns()
        self._register.events.tell(
            Event(
                kind=f"budget.{passed(each)}",
                at_ns=now_ns,
                reason=in_words(each),
                pool=each.budget.pool or "",
                project=each.budget.project,
                user=each.budget.user,
            )
            for each in new
        )

    async def _stop(self) -> None:
        stopping = [budget for budget in self.every if budget.stop_running]
        for standing in exhausted(await self._now(stopping)):
            if found := await asyncio.to_thread(self._store.running_in, standing.budget):
                log.warning("a budget is spent: its jobs are stopped", budget=standing.budget.name, jobs=len(found))
                await asyncio.to_thread(self._store.request_cancel, found)
                self._register.work.set()

    def _changed(self, now_ns: int) -> bool:
        """Whether a period has ended, or budgets are others, since standings were read."""
        over = any(each.until_ns is not None and each.until_ns <= now_ns for each in self._standings)
        return over or [each.budget for each in self._standings] != self.every

    async def _now(self, wanted: Sequence[Budget]) -> tuple[Standing, ...]:
        now_ns = self._clock.now_ns()
        found: tuple[Asked, ...] = asked(wanted, now_ns)
        return await asyncio.to_thread(self._store.standings, found, now_ns, self._tails) if found else ()


def _key(standing: Standing) -> tuple[str, int | None]:
    return standing.budget.name, standing.since_ns
