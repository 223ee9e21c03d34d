"""Jobs, pools and rules → what the live broker would have done, decision by decision, in virtual time.

Decisions are those of `broker.decide`: durations are estimated, jobs placed, attempts advanced and retried, clusters
steered and usage charged by the very functions that the daemon calls. Only what surrounds them is simulated.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from broker.decide import rest, spot
from broker.decide.duration import remaining_s
from broker.decide.policy import dispatch
from broker.decide.pool_state import PoolState, RunningAttempt
from broker.decide.progress import advance, attempt_of
from broker.decide.recall import Recall
from broker.decide.rest import WELL, Health
from broker.decide.spot import SpotRule
from broker.model.environment import environment_key
from broker.model.errors import InvalidInput, NoCapacity
from broker.model.jobs import Attempt, AttemptReport, AttemptState, Job, JobState
from broker.model.placement import Duration, Placement, Verdict
from broker.model.pools import PoolKind
from broker.model.usage import Charge
from simulator.jobs.terms import Spot
from simulator.virtual.clock import VirtualClock
from simulator.virtual.durations import Durations
from simulator.virtual.ledger import Ledger
from simulator.virtual.pool import Running, SimPool
from simulator.virtual.steering import Steering
from simulator.virtual.values import Lived, Manner, Outcome, Site, Work

PAGE = 1_000  # queued jobs that are looked at in one round
FOR_EVER_NS = 3 * 10**17  # ten years after the last submission: what has not ended never will


def play(
    works: Sequence[Work],
    sites: Sequence[Site],
    manner: Manner | None = None,
    told: Callable[[Placement], None] | None = None,
    began_ns: int | None = None,
    charged: Callable[[Charge], None] | None = None,
    left: Callable[[int], None] | None = None,
) -> Outcome:
    """Plays jobs to the end of the last. `told` is given each placement as it is made, `charged` each charge.

    `left` is told how many jobs have not ended, again and again.

    Nodes are paid for from `began_ns` on, or from the first submission.

    Raises `InvalidInput` where there is no job, or some wait for ever.
    """
    if not works:
        raise InvalidInput("there is no job to play")
    broker = VirtualBroker(works, sites, manner or Manner(), told or (lambda _: None), began_ns, charged)
    say = left or (lambda _: None)
    while broker.left and broker.clock.now_ns() < broker.for_ever_ns and broker.clock.step():
        say(broker.left)
    return broker.outcome()


class VirtualBroker:
    """One run: the state of a broker in virtual time, and the events that change it."""

    def __init__(
        self,
        works: Sequence[Work],
        sites: Sequence[Site],
        manner: Manner,
        told: Callable[[Placement], None],
        began_ns: int | None,
        charged: Callable[[Charge], None] | None,
    ) -> None:
        ordered = sorted(works, key=lambda work: (work.job.submitted_ns, work.job.id))
        self.clock = VirtualClock(ordered[0].job.submitted_ns if began_ns is None else began_ns)
        self.left = len(ordered)
        self.for_ever_ns = ordered[-1].job.submitted_ns + FOR_EVER_NS
        self._began_ns, self._manner, self._told = self.clock.now_ns(), manner, told
        self._round_due = False
        self._pools = {
            site.pool.name: SimPool(site.pool, site.timing, self.clock, self._report, self._wake, site.nodes)
            for site in sites
        }
        self._ledger = Ledger(self._pools.values(), self._began_ns, charged or (lambda _: None))
        self._jobs = {work.job.id: work.job for work in ordered}
        self._work = {work.job.id: work.seconds for work in ordered}
        self._lived: dict[str, Lived] = {}
        self._queued: list[tuple[int, int, str]] = []  # by priority and age
        self._attempts: dict[str, tuple[Attempt, float]] = {}  # with the expected seconds
        self._durations = Durations()
        self._boots = spot.boots([site.pool for site in sites])
        self._recall = Recall()
        self._refused: Counter[str] = Counter()
        self._done: dict[str, float] = {}  # seconds of a job's work that its interrupted attempts did
        self._health: dict[str, Health] = {}
        self._avoid: dict[str, dict[str, int]] = {}
        self._again_ns: int | None = None
        self._interruptions, self._lost_s, self._decisions = 0, 0.0, 0
        self._steering = Steering(self._pools) if manner.steer_every_s else None
        for site in sites:
            if site.available is not None:
                self._limit(self._pools[site.pool.name], site.available, 0)
        for work in ordered:
            self.clock.at(work.job.submitted_ns, partial(self._submit, work.job.id))
        self.clock.after(manner.settle_every_s, self._settle)
        if self._steering:
            self.clock.after(0.0, self._steer)

    def outcome(self) -> Outcome:
        """What became of it; ends all pools."""
        if self.left:
            raise InvalidInput(f"{self.left} jobs wait for ever: no pool has room for them, or ever will")
        now_ns = self.clock.now_ns()
        self._ledger.settle(1 + max(pool.close() for pool in self._pools.values()))
        return Outcome(
            jobs=tuple(self._lived[job_id] for job_id in self._jobs),
            spent=self._ledger.spent,
            began_ns=self._began_ns,
            ended_ns=now_ns,
            interruptions=self._interruptions,
            lost_s=self._lost_s,
            decisions=self._decisions,
            cold_starts=sum(pool.started for pool in self._pools.values() if pool.pool.kind is PoolKind.SERVERLESS),
            steered=tuple(self._steering.steered) if self._steering else (),
        )

    def _submit(self, job_id: str) -> None:
        self._queue(self._jobs[job_id])
        self._wake()

    def _queue(self, job: Job) -> None:
        insort(self._queued, (-job.spec.priority, job.submitted_ns, job.id))

    def _wake(self) -> None:
        if not self._round_due:
            self._round_due = True
            self.clock.after(self._manner.decide_s, self._round)

    def _round(self) -> None:
        """Places what is queued, page by page while anything finds room."""
        self._round_due = False
        if self._manner.rules.spot_rule is not SpotRule.CHEAPEST:
            self._move()
        looked_at: set[str] = set()
        again: list[int] = []
        while queued := self._page(looked_at):
            placements = self._place(queued)
            looked_at.update(job.id for job in queued)
            again += [each.decide_again_ns for each in placements if each.decide_again_ns is not None]
            if not any(each.verdict is Verdict.RUN for each in placements):
                break
        if again and (self._again_ns is None or min(again) < self._again_ns):
            self._again_ns = min(again)
            self.clock.at(self._again_ns, partial(self._look_again, self._again_ns))

    def _look_again(self, due_ns: int) -> None:
        if due_ns == self._again_ns:
            self._again_ns = None
            self._wake()

    def _page(self, looked_at: set[str]) -> list[Job]:
        now_ns = self.clock.now_ns()
        jobs = (self._jobs[job_id] for _, _, job_id in self._queued if job_id not in looked_at)
        return list(islice((job for job in jobs if job.not_before_ns <= now_ns), PAGE))

    def _place(self, queued: Sequence[Job]) -> tuple[Placement, ...]:
        now_ns = self.clock.now_ns()
        durations = {job.id: self._durations.remaining(job, self._done.get(job.id, 0.0)) for job in queued}
        placements = dispatch(
            queued,
            self._states(),
            durations,
            now_ns,
            self._manner.rules,
            spent=self._ledger.of_job,
            avoid=self._avoid,
            done=self._done,
            recall=self._recall,
        )
        self._decisions += len(placements)
        for placement in placements:
            self._told(placement)
            if placement.verdict is Verdict.RUN:
                self._launch(placement, durations[placement.job_id])
            elif placement.verdict is Verdict.FAIL:
                self._end(replace(self._jobs[placement.job_id], state=JobState.FAILED, reason=placement.reason), None)
        return placements

    def _move(self) -> None:
        """Attempts that should leave their on-demand nodes and wait for spot do."""
        held = [pool for pool in self._pools.values() if not spot.is_spot(pool.pool)]
        for running in [each for pool in held for each in pool.running.values()]:
            pool, started_ns = self._pools[running.attempt.pool], running.started_ns
            job = self._jobs[running.attempt.job_id]
            if started_ns is None or not job.spec.checkpoint_every_s:
                continue
            ran_s = (self.clock.now_ns() - started_ns) / 1e9
            done = self._done.get(job.id, 0.0)
            at = spot.standing(job, self._durations.remaining(job, done), done, self._boots, self.clock.now_ns(), ran_s)
            if at is not None and at.leaves():
                self._refused[job.id] += 1
                pool.interrupt(running)

    def _states(self) -> tuple[PoolState, ...]:
        now_ns = self.clock.now_ns()
        return tuple(
            PoolState(
                pool=each.pool,
                capacity=each.capacity(),
                health=self._health.get(each.pool.name, WELL),
                running=tuple(self._seen(running, now_ns) for running in each.running.values()),
            )
            for each in self._pools.values()
        )

    def _seen(self, running: Running, now_ns: int) -> RunningAttempt:
        ran_s = (now_ns - (running.started_ns or now_ns)) / 1e9
        expected_s = self._attempts[running.attempt.id][1]
        return RunningAttempt(
            attempt_id=running.attempt.id,
            resources=running.attempt.resources,
            num_nodes=running.nodes,
            remaining_s=remaining_s(expected_s, ran_s),
            unit_ids=tuple(unit.id for unit in running.units),
        )

    def _launch(self, placement: Placement, duration: Duration) -> None:
        job, now_ns = self._jobs[placement.job_id], self.clock.now_ns()
        attempt = attempt_of(job, placement, now_ns)
        self._jobs[job.id] = replace(job, state=JobState.STARTING, attempts=attempt.number)
        self._queued.remove((-job.spec.priority, job.submitted_ns, job.id))
        self._attempts[attempt.id] = (attempt, duration.p50_s)
        nodes, key = job.spec.resources.num_nodes, environment_key(job.spec)
        try:
            self._pools[attempt.pool].launch(attempt, nodes, self._work[job.id], key)
        except NoCapacity as error:
            refused = AttemptState.REFUSED
            self._report(
                AttemptReport(attempt_id=attempt.id, state=refused, at_ns=now_ns, ended_ns=now_ns, reason=str(error))
            )

    def _report(self, report: AttemptReport) -> None:
        """What a pool says of an attempt."""
        attempt, expected_s = self._attempts[report.attempt_id]
        job = self._jobs[attempt.job_id]
        progress = advance(job, attempt, report, self.clock.now_ns(), self._refused[job.id])
        if progress is None:
            return
        self._jobs[job.id] = progress.job
        self._attempts[attempt.id] = (progress.attempt, expected_s)
        if not progress.attempt.state.ended:
            return
        del self._attempts[attempt.id]
        if self._steering:
            self._steering.ended(progress.attempt, job)
        pool = attempt.pool
        self._health[pool] = rest.after(self._health.get(pool, WELL), progress.attempt, self.clock.now_ns())
        self._after(progress.job, progress.attempt)
        if progress.retry is not None and progress.retry.avoid_pool:
            self._refused[job.id] += 1
            self._avoid.setdefault(job.id, {})[progress.retry.avoid_pool] = progress.retry.avoid_until_ns

    def _after(self, job: Job, attempt: Attempt) -> None:
        ran_s = ((attempt.ended_ns or 0) - (attempt.started_ns or attempt.ended_ns or 0)) / 1e9
        if attempt.state is AttemptState.SUCCEEDED:
            self._durations.succeeded(job, ran_s + self._done.get(job.id, 0.0))
        elif attempt.state is AttemptState.INTERRUPTED:
            every_s = job.spec.checkpoint_every_s or self._manner.checkpoint_s
            kept_s = min(ran_s // every_s * every_s, ran_s) if every_s else 0.0
            self._work[job.id] -= kept_s
            self._done[job.id] = self._done.get(job.id, 0.0) + spot.kept_s(job.spec, ran_s)
            self._interruptions += 1
            self._lost_s += (ran_s - kept_s) * attempt.resources.gpus * job.spec.resources.num_nodes
        if job.state.ended:
            self._end(job, attempt)
        else:
            self._queue(job)
            self.clock.at(job.not_before_ns, self._wake)
        self._wake()

    def _end(self, job: Job, attempt: Attempt | None) -> None:
        self._jobs[job.id] = job
        if attempt is None:
            self._queued.remove((-job.spec.priority, job.submitted_ns, job.id))
        started_ns, pool = (attempt.started_ns, attempt.pool) if attempt else (None, "")
        self._lived[job.id] = Lived(job=job, started_ns=started_ns, pool=pool)
        self._avoid.pop(job.id, None)
        self._durations.forget(job.id)
        self.left -= 1

    def _limit(self, pool: SimPool, levels: Spot, at: int) -> None:
        pool.limit(int(levels.nodes[at]))
        ends_s = levels.period_s if at + 1 == len(levels.nodes) else float(levels.time_s[at + 1])
        following = partial(self._limit, pool, levels, (at + 1) % len(levels.nodes))
        self.clock.after(ends_s - float(levels.time_s[at]), following)
        self._wake()

    def _settle(self) -> None:
        self._ledger.settle(self.clock.now_ns())
        self.clock.after(self._manner.settle_every_s, self._settle)

    def _steer(self) -> None:
        if self._steering and self._manner.steer_every_s:
            live = [(attempt, self._jobs[attempt.job_id]) for attempt, _ in self._attempts.values()]
            queued = [self._jobs[job_id] for _, _, job_id in self._queued]
            self._steering.step(live, queued, self.clock.now_ns())
            self.clock.after(self._manner.steer_every_s, self._steer)
            self._wake()
