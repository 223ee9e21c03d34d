"""Following a pool: opens its executor, finds what an earlier broker launched, and records what it reports.

A pool that does not answer is opened again after a while; what it was running is not given up meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace

import structlog

from broker.model.errors import BrokerError, Misconfigured, Unreachable
from broker.model.jobs import AttemptReport, AttemptState
from broker.ports import Executor, Poll
from broker.run.attempts.launcher import Launcher
from broker.run.attempts.register import Register
from broker.run.attempts.retire import Retirement
from broker.run.pools import RunningPool

log = structlog.get_logger()

POLL_WAIT_S = 5.0
# Where so many attempts are under way, their news is collected for a moment: recorded together they cost a fraction.
MANY = 8
COLLECT_S = 0.05
# Of what ends so soon after it was accepted, or began to run, the end alone is recorded.
ACCEPTED_S = 0.2  # its job is said to be starting already
BEGUN_S = 0.03
REOPEN_S = 2.0
REOPEN_MISCONFIGURED_S = 30.0


class Follower:
    """Follows one pool for as long as the broker runs."""

    def __init__(self, pool: RunningPool, register: Register, launcher: Launcher, retirement: Retirement) -> None:
        self._pool = pool
        self._register = register
        self._launcher = launcher
        self._retirement = retirement

    async def run(self) -> None:
        """Opens and follows until cancelled."""
        while True:
            try:
                executor = await self._pool.open()
                since = await self._recover(executor)
                self._pool.settled.set()
                self._register.work.set()
                await self._follow(executor, since)
            except (BrokerError, TimeoutError, OSError) as error:
                if not self._pool.problem:
                    self._pool.fails(error)
                self._pool.settled.set()
                log.warning("pool is out of use", pool=self._pool.pool.name, error=str(error))
                await asyncio.sleep(REOPEN_MISCONFIGURED_S if isinstance(error, Misconfigured) else REOPEN_S)
            except Exception as error:
                self._pool.problem = f"its executor fails: {type(error).__name__}: {error}; the broker's log says where"
                self._pool.settled.set()
                log.exception("pool is out of use: its executor fails", pool=self._pool.pool.name)
                await asyncio.sleep(REOPEN_S)

    async def _recover(self, executor: Executor) -> int:
        """Relaunches what was stored but perhaps not launched (a repeat is harmless); declares lost what is gone."""
        name = self._pool.pool.name
        held = self._register.live.of_pool(name)
        await self._launcher.launch([one for one in held if one.attempt.state is AttemptState.STORED])
        poll = await executor.poll(0)
        known = {report.attempt_id for report in poll.reports}
        now = self._register.clock.now_ns()
        lost = [
            AttemptReport(
                attempt_id=one.attempt.id,
                state=AttemptState.INTERRUPTED,
                at_ns=now,
                ended_ns=now,
                reason=f"pool {name} no longer knows this attempt",
            )
            for one in held
            if one.attempt.id not in known and self._accepted(one.attempt.id)
        ]
        await self._end_strangers(executor, poll.reports)
        await self._take(poll.reports)
        await self._register.apply(lost)
        return poll.version

    def _accepted(self, attempt_id: str) -> bool:
        """Whether the executor has it, or had: of what it forgot, as a store from a backup may have, it never tells."""
        held = self._register.live.get(attempt_id)
        return held is not None and (held.launched or held.attempt.state is not AttemptState.STORED)

    async def _end_strangers(self, executor: Executor, reports: tuple[AttemptReport, ...]) -> None:
        """Attempts that the store never heard of (it was replaced), or took for lost, must not run on unpaid."""
        for report in reports:
            if report.state.ended or self._register.live.get(report.attempt_id):
                continue
            if await self._register.goes_on(report.attempt_id):
                continue
            log.warning("ending an attempt that goes on for nobody", attempt=report.attempt_id)
            await executor.cancel(report.attempt_id)

    async def _follow(self, executor: Executor, since: int) -> None:
        while True:
            poll = await self._news(executor, since)
            await self._take(poll.reports)
            since = poll.version
            if self._pool.problem:
                raise Unreachable(self._pool.problem)
            await self._launch_again()
            if await self._register.take_up_cancelled(self._pool.pool.name):
                since = await self._recover(executor)
            if len(self._register.live.of_pool(self._pool.pool.name)) > MANY:
                await asyncio.sleep(COLLECT_S)

    async def _news(self, executor: Executor, since: int) -> Poll:
        """What is new, with the ends that come a moment after it: most short attempts are recorded once."""
        poll = await executor.poll(since, POLL_WAIT_S)
        newest = {report.attempt_id: report for report in poll.reports}
        since_s = time.monotonic()
        while (left_s := since_s + _worth_waiting_s(newest.values()) - time.monotonic()) > 0:
            poll = await executor.poll(poll.version, left_s)
            newest |= {report.attempt_id: report for report in poll.reports}
        return replace(poll, reports=tuple(newest.values()))

    async def _take(self, reports: tuple[AttemptReport, ...]) -> None:
        if reports:
            self._retirement.add(await self._register.apply(reports))

    async def _launch_again(self) -> None:
        stored = [one for one in self._register.live.of_pool(self._pool.pool.name) if not one.launched]
        late = [one for one in stored if one.attempt.id not in self._launcher.launching]
        await self._launcher.launch([one for one in late if one.attempt.state is AttemptState.STORED])


def _worth_waiting_s(news: Collection[AttemptReport]) -> float:
    """How long more news may be waited for before these are recorded."""
    states = {report.state for report in news}
    if not states or any(state.ended for state in states):
        return 0.0
    return BEGUN_S if AttemptState.RUNNING in states else ACCEPTED_S
