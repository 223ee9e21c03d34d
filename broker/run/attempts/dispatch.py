"""Dispatching: gather what is queued and free, let `broker.decide.policy` decide, act on it.

Nothing is decided here. The loop sleeps until there is work, a retry is due, or a wait has run out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from broker.decide import spot
from broker.decide.duration import estimate, remaining_s
from broker.decide.expand import tasks
from broker.decide.holding import held as is_held
from broker.decide.policy import dispatch
from broker.decide.pool_state import PoolState, RunningAttempt
from broker.decide.quotas import NO_QUOTAS, Quotas
from broker.decide.rest import WELL
from broker.decide.rules import PlacementRules
from broker.model.budgets import Standing
from broker.model.environment import environment_key
from broker.model.errors import BrokerError, LeaseLost, OverBudget, StoreAway, Unreadable
from broker.model.jobs import Job, JobSpec, JobState
from broker.model.money import NS_PER_S
from broker.model.placement import Duration, Placement, Verdict
from broker.model.pools import Capacity
from broker.model.submissions import Entry
from broker.run.apart import apart
from broker.run.attempts.aside import Aside
from broker.run.attempts.gambling import Gambling
from broker.run.attempts.histories import Histories
from broker.run.attempts.lanes import Lanes
from broker.run.attempts.launcher import Launcher
from broker.run.attempts.live import Held
from broker.run.attempts.register import Register
from broker.run.capacity.forecasting import Forecasting
from broker.run.failures import Failures
from broker.run.members.sharing import Sharing
from broker.run.money.budgets import Budgets
from broker.run.pools import RunningPool

log = structlog.get_logger()

PAGE = 1_000
# A long queue costs time in each round. Between two looks at a whole page of it, only its head is looked at.
HEAD = 64  # what has gone of a line of short jobs, so that one look fills it
FAR = 10 * PAGE  # how many jobs a round looks at, those that budgets hold among them
WHOLE_PAGE_EVERY_S = 1.0
LOOK_AGAIN_S = 60.0
AFTER_ERROR_S = 1.0
AGAIN_S = 0.05
PASSING = (StoreAway, LeaseLost, OverBudget)  # what fails is no one job's fault
PAUSES, LONGEST_PAUSE_S = 3, 0.05  # after a round that found no room, in times of what it took


class Dispatcher:
    """Places queued jobs and ends those whose cancellation was asked for."""

    def __init__(
        self,
        pools: Mapping[str, RunningPool],
        register: Register,
        launcher: Launcher,
        rules: PlacementRules,
        forecasting: Forecasting,
        budgets: Budgets,
        sharing: Sharing,
        lanes: Lanes,
        failures: Failures,
    ) -> None:
        self._lanes = lanes
        self._failures = failures
        self._aside = Aside(register)
        self._sharing = sharing
        self._pools = pools
        self._register = register
        self._launcher = launcher
        self._rules = rules
        self._forecasting = forecasting
        self._budgets = budgets
        self._gambling = Gambling(pools, register, rules)
        self._histories = Histories(register.store, register.events)
        self._turn = asyncio.Lock()  # of whoever gives room away
        self._stopped = False
        self._look_again_ns: int | None = None
        self._looked_ns = 0
        self._whole_page_ns = 0

    def stop(self) -> None:
        """Places nothing more; cancellations are still carried out."""
        self._stopped = True

    async def run(self) -> None:
        """Dispatches until cancelled; what fails is said in the log and tried again.

        A round that begins nothing is followed by a pause, so that a stream of submissions for which there is no room
        does not take more than a part of the time from those who submit.
        """
        while True:
            self._register.work.clear()
            self._register.room.clear()
            begun_s = time.monotonic()
            try:
                begun = await self.step()
                self._failures.well("dispatching")
                if not begun:
                    await self._pause(time.monotonic() - begun_s)
                await self._rest()
            except OverBudget as error:
                log.info("what a budget had room for has begun meanwhile", error=str(error))
                self._budgets.look_again()
                await asyncio.sleep(AGAIN_S)
            except BrokerError as error:
                log.error("dispatching failed; it is tried again", error=str(error))
                await asyncio.sleep(AFTER_ERROR_S)
            except Exception as error:
                await asyncio.sleep(self._failures.failed("dispatching", error))

    async def _pause(self, took_s: float) -> None:
        """As long as the round took, and longer while nothing but submissions comes after those who wait already."""
        await asyncio.sleep(took_s)
        if not self._register.queue_seen_empty:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(PAUSES * took_s, LONGEST_PAUSE_S)):
                    await self._register.room.wait()

    async def _rest(self) -> None:
        # From when the queue was looked at, not from now: what fell due meanwhile would be overlooked.
        due = await asyncio.to_thread(self._register.store.next_due_ns, self._looked_ns)
        times = [time for time in (due, self._look_again_ns) if time is not None]
        now = self._register.clock.now_ns()
        pause_s = min([(time - now) / 1e9 for time in times] + [LOOK_AGAIN_S])
        with suppress(TimeoutError):
            async with asyncio.timeout(max(pause_s, 0.01)):
                await self._register.work.wait()

    async def step(self) -> bool:
        """One round: cancellations, then placements, page by page while there is room. Whether a job was begun."""
        self._looked_ns = self._register.clock.now_ns()
        self._register.queue_seen_empty = False
        await self._cancel()
        if self._stopped or not self._sharing.may_dispatch:
            return False
        await self._gambling.step()
        self._lanes.begin()
        async with self._turn:
            return await self._place_pages()

    async def _place_pages(self) -> bool:
        limit = self._page()
        looked_at: set[str] = set()
        again: list[int] = []
        begun, waits = False, False
        while queued := await self._queued(limit, frozenset(looked_at)):
            placements = await self._place(queued)
            looked_at.update(job.id for job in queued)
            again += [p.decide_again_ns for p in placements if p.decide_again_ns is not None]
            begun |= any(p.verdict is Verdict.RUN for p in placements)
            waits |= any(p.verdict is Verdict.WAIT for p in placements)
            if self._is_rest(queued, limit):
                break
            past = [p.verdict is Verdict.RUN or is_held(p) for p in placements]  # keep nobody from room
            if all(past):
                limit = min(2 * limit, PAGE)
            if not any(past) or len(looked_at) >= FAR:
                waits = True
                if limit == HEAD == len(queued):
                    again.append(self._whole_page_ns + round(WHOLE_PAGE_EVERY_S * NS_PER_S))
                break
        self._look_again_ns = min(again, default=None)
        self._register.queue_seen_empty = not waits and self._sharing.brokers == 1
        return begun

    def _is_rest(self, queued: Sequence[Job], limit: int) -> bool:
        """Whether nobody came after these when they were read; who has come since has said so."""
        return len(queued) < limit and self._sharing.brokers == 1

    def _page(self) -> int:
        """How many jobs to look at at once in this round."""
        if self._looked_ns - self._whole_page_ns < WHOLE_PAGE_EVERY_S * NS_PER_S:
            return HEAD
        self._whole_page_ns = self._looked_ns
        return PAGE

    async def _queued(self, limit: int, skip: frozenset[str]) -> tuple[Job, ...]:
        now, everyone = self._register.clock.now_ns(), self._looked_ns == self._whole_page_ns
        wanted = limit if everyone else limit * self._sharing.brokers
        try:
            found = await self._lanes.next(now, wanted, skip | self._aside.now())
        except Unreadable as error:
            for job_id in error.job_ids:
                self._aside.put_unread(job_id, error)
            return await self._queued(limit, skip)
        return found if everyone else tuple(job for job in found if self._sharing.is_mine(job.id))[:limit]

    async def _place(self, queued: Sequence[Job]) -> tuple[Placement, ...]:
        by_id = {job.id: job for job in queued}
        quotas = await self._lanes.quotas()
        decided = await self._decided(queued, await self._budgets.current(), quotas)
        self._lanes.looked_at(by_id, decided)
        placements = self._sharing.own(decided, self._register.clock.now_ns())
        self._budgets.begin(by_id, placements)
        await self._launcher.launch(await self._begun(by_id, placements, quotas))
        self._aside.decided(by_id.keys() - self._aside.now())
        return decided

    async def _decided(
        self, queued: Sequence[Job], standings: Sequence[Standing], quotas: Quotas
    ) -> tuple[Placement, ...]:
        """The decisions about all but those whose data make it fail: these are set aside. Raises where all do."""
        try:
            return await self._placed(queued, standings, quotas)
        except BrokerError:
            raise
        except Exception:
            await self.preview(JobSpec(name="plain", run="true"), "")  # it fails where no job is to blame
            _, failed = await apart(queued, lambda some: self._placed(some, standings, quotas), PASSING)
            if not failed:
                raise
            for job, error in failed:
                await self._aside.put(job, error)
        self._register.work.set()  # those behind them are looked at now
        broken = {job.id for job, _ in failed}
        return await self._decided([job for job in queued if job.id not in broken], standings, quotas)

    async def _begun(self, jobs: Mapping[str, Job], placements: Sequence[Placement], quotas: Quotas) -> list[Held]:
        told = [(jobs[placement.job_id], placement) for placement in placements]
        # Another broker may have begun jobs, or have come, since budgets and quotas were read.
        more = (self._budgets.within(), quotas.projects) if self._register.store.shared else ()
        pieces, failed = await apart(told, lambda some: self._register.decide(some, *more), PASSING)
        if failed and not pieces:
            raise failed[0][1]  # which of them are to blame shows as soon as there is one that is not
        for (job, _), error in failed:
            self._aside.put_unread(job.id, error)
        begun = [held for piece in pieces for held in piece]
        if quotas.projects and len(begun) < sum(each.verdict is Verdict.RUN for each in placements):
            self._register.work.set()  # what a quota has kept back is looked at again, and told why it waits
        return begun

    async def _placed(
        self, queued: Sequence[Job], standings: Sequence[Standing], quotas: Quotas
    ) -> tuple[Placement, ...]:
        states = await self.states()
        done = await self._gambling.done(queued)
        whole = await self._durations(queued)
        durations = {job_id: spot.remaining(each, done.get(job_id, 0.0)) for job_id, each in whole.items()}
        retried = [job.id for job in queued if job.attempts]
        costs = await asyncio.to_thread(self._register.store.job_costs, retried) if retried else {}
        return dispatch(
            queued,
            states,
            durations,
            self._register.clock.now_ns(),
            self._rules,
            spent={job_id: amount for job_id, (amount, _) in costs.items()},
            avoid=self._sharing.avoid(self._register.avoid, self._register.clock.now_ns()),
            done=done,
            standings=standings,
            quotas=quotas,
        )

    async def begin(self, entry: Entry) -> tuple[Job, ...] | None:
        """Stores a job together with its first attempt and launches it, where there is room and nobody waits for it.

        None: nothing was stored, the job has to go into the queue. Otherwise what `Store.begin` returned, and raises.
        """
        if len(entry.jobs) > 1 or not self._nobody_waits or await self._lanes.quotas() is not NO_QUOTAS:
            return None
        async with self._turn:
            (placement,) = await self._placed(entry.jobs, (), NO_QUOTAS)
            here = self._sharing.own([placement], self._register.clock.now_ns())
            if placement.verdict is not Verdict.RUN or not here:
                return None
            stored, held = await self._register.begin(entry, placement)
        await self._launcher.launch(held)
        return stored

    @property
    def _nobody_waits(self) -> bool:
        """Whether room may be given away without a look at the queue: it was empty, and this broker alone fills it."""
        ready = not self._stopped and self._sharing.may_dispatch and not self._budgets.every
        return (
            ready and self._register.queue_seen_empty and not self._register.work.is_set() and not self._turn.locked()
        )

    async def _durations(self, queued: Sequence[Job]) -> dict[str, Duration]:
        """The expected duration of each job."""
        histories = await self._histories.of(queued)
        alike: dict[tuple[str, int], Duration] = {}  # of jobs of one user that share their description
        found: dict[str, Duration] = {}
        for job in queued:
            key = (job.user, id(job.spec))
            if key not in alike:
                alike[key] = estimate(job.spec, histories[job.user, job.spec.name])
            found[job.id] = alike[key]
        return found

    async def states(self) -> tuple[PoolState, ...]:
        """All pools now: those that are driven here as they are, others as their brokers told last."""
        pools = list(self._pools.values())
        capacities = await asyncio.gather(*(pool.capacity() for pool in pools))
        return tuple(
            self._state(running, capacity)
            if running.elsewhere is None
            else replace(running.elsewhere, pool=running.as_now)
            for running, capacity in zip(pools, capacities, strict=True)
        )

    def _state(self, running: RunningPool, capacity: Capacity | None) -> PoolState:
        name = running.pool.name
        return PoolState(
            pool=running.as_now,
            capacity=capacity,
            problem=running.problem,
            health=self._register.health.get(name, WELL),
            running=tuple(self._running(held) for held in self._register.live.of_pool(name)),
            expected=self._forecasting.expected.get(name),
        )

    def _running(self, held: Held) -> RunningAttempt:
        now = self._register.clock.now_ns()
        ran_s = (now - (held.attempt.started_ns or now)) / 1e9
        return RunningAttempt(
            attempt_id=held.attempt.id,
            resources=held.attempt.resources,
            num_nodes=held.job.spec.resources.num_nodes,
            remaining_s=remaining_s(held.expected_s, ran_s),
            key=environment_key(held.job.spec),
            in_line=held.in_line,
            unit_ids=held.unit_ids,
        )

    async def _cancel(self) -> None:
        wanted = await asyncio.to_thread(self._register.store.cancel_requested, PAGE)
        queued = []
        for job in wanted:
            attempts = self._register.live.of_job(job.id)
            for held in attempts:
                await self._cancel_attempt(held)
            if not attempts and job.state is JobState.QUEUED:
                queued.append(job)
        if queued:
            await self._register.cancel_queued(queued)

    async def _cancel_attempt(self, held: Held) -> None:
        pool = self._pools.get(held.attempt.pool)
        if pool is None or pool.executor is None:
            return
        try:
            await pool.executor.cancel(held.attempt.id)
        except BrokerError as error:
            log.warning("cancel did not reach its pool; tried again", attempt=held.attempt.id, error=str(error))
        except Exception:
            log.exception("cancel failed in its pool; tried again", attempt=held.attempt.id)

    async def preview(self, spec: JobSpec, user: str, *, budgets: bool = True) -> Placement:
        """What would be decided for such a job now, within budgets or without them; nothing is stored or started."""
        now = self._register.clock.now_ns()
        job = next(tasks(spec, "preview", user, now))
        durations = await self._durations([job])
        standings = await self._budgets.current() if budgets else ()
        quotas = await self._lanes.quotas() if budgets else NO_QUOTAS
        states = await self.states()
        (placement,) = dispatch([job], states, durations, now, self._rules, standings=standings, quotas=quotas)
        return placement
