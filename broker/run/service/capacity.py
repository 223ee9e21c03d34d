"""A pool and a period → what is forecast for it, how forecasts and decisions did, and what else it could have cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final, TypeVar

from broker.decide.spend import Period, parse_period
from broker.model.errors import InvalidInput, Problem
from broker.model.foresight import NodesDecision, Outlook
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.pools import Pool, PoolKind
from broker.model.query import SpendFilter
from broker.model.runs import Run
from broker.model.times import begin_of, day_of
from broker.model.usage import Book
from broker.run.broker import Broker
from broker.run.pools import RunningPool, named
from broker.run.service.kept import Kept
from broker.run.service.settling import Settling

if TYPE_CHECKING:
    from broker.decide.accuracy import Day
    from broker.decide.counterfactual import Counterfactual

_FRESH_S: Final = 1.0
_AT_ONCE: Final = 2  # questions that are computed; the broker's own work needs threads too
_DAY_NS: Final = 86_400 * NS_PER_S
_MOST_DAYS: Final = 400
_STEPS_S: Final = (10, 60, 300, 900, 3_600, 4 * 3_600, 86_400)
_MOST_STEPS: Final = 400  # as many as can be told apart in a picture
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What is forecast for a pool now."""

    pool: Pool
    outlook: Outlook | None  # None: nothing has run yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How forecasts and decisions about a pool did."""

    pool: Pool
    days: tuple[Day, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demanded:
    """The units of a pool that were busy, and on what terms its work competes with serverless."""

    pool: Pool
    since_ns: int
    seen_since_ns: int  # when the first job of all began, where that is later: before it, nothing could be busy
    step_s: float
    busy: tuple[float, ...]  # on average in each step
    usd_per_hour: float | None  # of a node; None: of a serverless pool, or not known
    serverless_usd_per_hour: float | None  # for the work of one node; None: no serverless pool could take it


class CapacityAnswers:
    """Answers about what comes, and about what came beside what was thought."""

    def __init__(self, broker: Broker, settling: Settling) -> None:
        self._broker = broker
        self._settling = settling
        self._demanded: Kept[tuple[Demanded, ...]] = Kept(broker.clock)
        self._otherwise: Kept[tuple[Counterfactual, ...]] = Kept(broker.clock)
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def forecast(self, pool: str | None = None, max_age_s: float = 0.0) -> tuple[Foreseen, ...]:
        """The forecast of each pool, or of one, made now unless one is at most so old. Raises `UnknownName`."""
        found = [(each, await self._outlook(each, max_age_s)) for each in self._pools(pool)]
        return tuple(Foreseen(pool=running.pool, outlook=outlook) for running, outlook in found)

    async def demand(self, pool: str | None, words: str, max_age_s: float = 0.0) -> tuple[Demanded, ...]:
        """How busy each pool, or one, was, as of now or at most so long ago.

        Raises `InvalidInput` for a period, `UnknownName`.
        """
        pools, period = [each.pool for each in self._pools(pool)], await self._period(words)
        made = partial(self._computed, partial(self._demands, pools, period))
        return await self._demanded.answer((pool, words), max_age_s, made)

    async def accuracy(self, pool: str | None, words: str) -> tuple[Account, ...]:
        """Day by day what was forecast, planned, and came. Raises `InvalidInput` for a period, `UnknownName`."""
        pools, period = self._pools(pool), await self._period(words)
        await self._settling.within(_FRESH_S)
        return tuple([await self._computed(partial(self._account, each.pool, period)) for each in pools])

    async def counterfactual(self, pool: str | None, words: str, max_age_s: float = 0.0) -> tuple[Counterfactual, ...]:
        """What else the work of each cluster, or of one, could have cost; none for clusters without a price.

        As of now, or at most so long ago. Raises `InvalidInput` for a period and for a pool that is no cluster,
        `UnknownName`.
        """
        pools, period = self._pools(pool), await self._period(words)
        clusters = [each.pool for each in pools if each.pool.kind is PoolKind.CLUSTER]
        if pool is not None and not clusters:
            raise InvalidInput(Problem(field="pool", message=f"{pool} is serverless: name a cluster"))
        made = partial(self._all_alternatives, clusters, period)
        return await self._otherwise.answer((pool, words), max_age_s, made)

    async def _all_alternatives(self, clusters: Sequence[Pool], period: tuple[int, int]) -> tuple[Counterfactual, ...]:
        await self._settling.within(_FRESH_S)
        seen = await self._computed(partial(self._seen, period))
        found = [await self._computed(partial(self._alternatives, each, seen)) for each in clusters]
        return tuple(each for each in found if each is not None)

    async def regrets(self) -> dict[str, float]:
        """What the last week of each cluster's work cost over what perfect hindsight would have, where it is known."""
        found = await self.counterfactual(None, "7d")
        return {each.pool: each.regret for each in found if each.regret is not None}

    async def _outlook(self, running: RunningPool, max_age_s: float) -> Outlook | None:
        kept = self._broker.forecasting.current.get(running.pool.name)
        if kept is not None and self._broker.clock.now_ns() - kept.at_ns <= max_age_s * NS_PER_S:
            return kept
        async with self._room:
            return await self._broker.forecasting.look(running)

    async def _computed(self, make: Callable[[], Found]) -> Found:
        """What takes long, in a thread, when it is its turn."""
        async with self._room:
            return await asyncio.to_thread(make)

    def _pools(self, name: str | None) -> list[RunningPool]:
        pools = self._broker.pools
        return [running for _, running in sorted(pools.items())] if name is None else [named(pools, name)]

    async def _period(self, words: str) -> tuple[int, int]:
        """A period in words, from the first thing that ran at the earliest, until now at the latest."""
        now_ns = self._broker.clock.now_ns()
        try:
            found: Period = parse_period(words, now_ns)
        except InvalidInput as error:
            raise InvalidInput(Problem(field="period", message=str(error))) from error
        until_ns = min(found.until_ns or now_ns, now_ns)
        since_ns = found.since_ns
        if since_ns is None:
            first_ns = await asyncio.to_thread(self._broker.store.first_run_ns, 0)
            since_ns = until_ns - _DAY_NS if first_ns is None else first_ns
        if since_ns >= until_ns:
            raise InvalidInput(Problem(field="period", message=f"{words!r} has not begun yet"))
        if until_ns - since_ns > _MOST_DAYS * _DAY_NS:
            raise InvalidInput(Problem(field="period", message=f"{words!r} is longer than {_MOST_DAYS} days"))
        return since_ns, until_ns

    def _seen(self, period: tuple[int, int]) -> tuple[int, int]:
        """A period without the time before the first job of all, where that ran in it."""
        since_ns, until_ns = period
        first_ns = self._broker.store.first_run_ns(since_ns)
        return (since_ns if first_ns is None or first_ns >= until_ns else max(since_ns, first_ns)), until_ns

    def _demands(self, pools: Sequence[Pool], period: tuple[int, int]) -> tuple[Demanded, ...]:
        since_ns, until_ns = period
        step_s = next((step for step in _STEPS_S if until_ns - since_ns <= _MOST_STEPS * step * NS_PER_S), _STEPS_S[-1])
        steps = max((until_ns - since_ns) // (step_s * NS_PER_S), 1)
        begin_ns = until_ns - steps * step_s * NS_PER_S
        runs = self._broker.store.runs(begin_ns)
        seen_ns = self._seen((begin_ns, until_ns))[0]
        found = [self._demand(pool, runs, begin_ns, until_ns, steps) for pool in pools]
        return tuple(replace(each, seen_since_ns=seen_ns) for each in found)

    def _demand(self, pool: Pool, runs: Sequence[Run], begin_ns: int, until_ns: int, steps: int) -> Demanded:
        from broker.decide.outlook import came
        from broker.decide.steering import NO_ALTERNATIVE, market

        terms = market(pool, self._others(pool), day_of(until_ns)) if pool.kind is PoolKind.CLUSTER else None
        sold = terms is not None and terms.serverless < NO_ALTERNATIVE * terms.cluster
        step_s = (until_ns - begin_ns) / NS_PER_S / steps
        busy = came(runs, pool, begin_ns, step_s, steps, until_ns)
        return Demanded(
            pool=pool,
            since_ns=begin_ns,
            seen_since_ns=begin_ns,
            step_s=step_s,
            busy=tuple(round(float(each), 4) for each in busy),
            usd_per_hour=terms.cluster if terms else None,
            serverless_usd_per_hour=terms.serverless if terms and sold else None,
        )

    def _account(self, pool: Pool, period: tuple[int, int]) -> Account:
        from broker.decide.accuracy import days
        from broker.decide.steering import market

        since_ns, until_ns = period
        store, begin_ns = self._broker.store, since_ns // _DAY_NS * _DAY_NS
        cluster = pool.kind is PoolKind.CLUSTER
        made = store.decisions(begin_ns - _DAY_NS, until_ns, pool.name)
        spent = store.spend(SpendFilter(since_ns=begin_ns, until_ns=until_ns, by=("day",), pool=pool.name))
        found = days(
            pool,
            store.outlooks(pool.name, begin_ns - _DAY_NS, until_ns),
            [each for each in made if isinstance(each, NodesDecision)],
            store.runs(begin_ns),
            market(pool, self._others(pool), day_of(until_ns)) if cluster else None,
            {begin_of(date.fromisoformat(row.group[0])): row.total for row in spent if row.total or not row.unknown},
            until_ns,
            begin_ns,
        )
        return Account(pool=pool, days=found)

    def _alternatives(self, pool: Pool, period: tuple[int, int]) -> Counterfactual | None:
        from broker.decide.counterfactual import counterfactual, takes_work_of
        from broker.decide.outlook import counted

        since_ns, until_ns = period
        day = day_of(until_ns)
        others = [other for other in self._others(pool) if takes_work_of(other, pool, day)]
        names = {pool.name, *(other.name for other in others)}
        runs = [run for run in counted(self._broker.store.runs(since_ns), pool) if run.pool in names]
        paid, unknown = self._paid(pool, others, {run.attempt_id for run in runs}, period)
        starts = [start for other in others for start in self._broker.store.cold_starts(other.name)]
        cold_s = median(starts) if starts else max((other.cold_start_s for other in others), default=0.0)
        return counterfactual(pool, others, runs, paid, unknown, since_ns, until_ns, day, cold_s)

    def _paid(
        self, pool: Pool, others: Sequence[Pool], attempts: set[str], period: tuple[int, int]
    ) -> tuple[Money, int]:
        """What the cluster cost, and in serverless pools these attempts and what was paid for none."""
        since_ns, until_ns = period
        total, unknown = ZERO, 0
        for each in (pool, *others):
            for charge in self._broker.store.charges(pool=each.name, since_ns=since_ns, until_ns=until_ns):
                foreign = each is not pool and charge.attempt_id is not None and charge.attempt_id not in attempts
                if charge.book is not Book.METERED or foreign:
                    continue
                total, unknown = total + (charge.amount or ZERO), unknown + (charge.amount is None)
        return total, unknown

    def _others(self, pool: Pool) -> list[Pool]:
        pools = [running.as_now for running in self._broker.pools.values()]
        return [each for each in pools if each.kind is PoolKind.SERVERLESS and each.name != pool.name]
