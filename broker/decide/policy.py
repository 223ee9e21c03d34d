"""Queued jobs and the state of all pools → a placement for each job: the bundle that live and simulated runs call.

Jobs are placed in the order given, and each sees what the ones before it were given. A job that waits holds its place:
a later one may only use what is free until the waiting one is expected to start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import replace
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from broker.decide import budgets, reasons, spot
from broker.decide.line import SHORT_S, Line
from broker.decide.place import place
from broker.decide.pool_state import PoolState, RunningAttempt
from broker.decide.quotas import NO_QUOTAS, Quotas
from broker.decide.quote import Answer, Ask, Option, Quoter, kind_of
from broker.decide.recall import Recall
from broker.decide.rules import PlacementRules
from broker.decide.spot import SpotRule
from broker.decide.wording import seconds
from broker.model.budgets import Standing
from broker.model.environment import environment_key
from broker.model.jobs import Job
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.placement import Duration, Placement, Refusal, Verdict

__all__ = ["PlacementRules", "PoolState", "RunningAttempt", "dispatch"]

# Waiting jobs that hold a place in a pool. Those after them are told when there would be room if they came next.
HELD_PLACES: Final = 256

_NOTHING: Final[Mapping[str, Money]] = MappingProxyType({})
_NONE_DONE: Final[Mapping[str, float]] = MappingProxyType({})
_NOWHERE: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType({})


def dispatch(
    queued: Sequence[Job],
    pools: Sequence[PoolState],
    durations: Mapping[str, Duration],
    now_ns: int,
    rules: PlacementRules,
    *,
    spent: Mapping[str, Money] = _NOTHING,
    avoid: Mapping[str, Mapping[str, int]] = _NOWHERE,
    done: Mapping[str, float] = _NONE_DONE,
    standings: Sequence[Standing] = (),
    quotas: Quotas = NO_QUOTAS,
    recall: Recall | None = None,
) -> tuple[Placement, ...]:
    """A placement for each job, in the order given: the largest priority first, then the oldest.

    `durations` by job id, of what is left; `spent` is what a job's earlier attempts cost, `done` the seconds of its
    work that they did, `avoid` the pools that took a job back, with the time until which it is sent there again only if
    no other pool has room for it. `standings` are the budgets, which those that begin take from for those after them.
    `quotas` are the same for what projects may use at once. The order of pools makes no difference.
    `recall` is what earlier rounds have worked out, and takes what this one does: it changes no placement.
    """
    round_ = Round(pools, now_ns, rules, standings, quotas, recall)
    asks = _asks(queued, durations, spent, avoid, done)
    behind = Counter(ask.kind for ask in asks)
    placements = []
    for job, ask in zip(queued, asks, strict=True):
        behind[ask.kind] -= 1
        placements.append(round_.place(job, replace(ask, behind=behind[ask.kind])))
    return tuple(placements)


class Round:
    """One round of placements."""

    def __init__(
        self,
        pools: Sequence[PoolState],
        now_ns: int,
        rules: PlacementRules,
        standings: Sequence[Standing] = (),
        quotas: Quotas = NO_QUOTAS,
        recall: Recall | None = None,
    ) -> None:
        self._standings = tuple(standings)
        self._quotas = quotas
        self._quoters = [Quoter(state, now_ns, rules, recall) for state in sorted(pools, key=attrgetter("pool.name"))]
        rests = {state.health.rests_until_ns for state in pools}
        self._rests = sorted(until_ns for until_ns in rests if until_ns > now_ns)
        self._lines = {state.pool.name: Line(state) for state in pools}
        self._now_ns = now_ns
        self._rules = rules
        self._stuck: dict[Hashable, Placement] = {}
        self._alike: Counter[Hashable] = Counter()
        self._waiting: Counter[str] = Counter()

    def place(self, job: Job, ask: Ask) -> Placement:
        """The placement of one job, and its reservation."""
        concerned = budgets.concerning(self._standings, job.user, job.spec.tags, job.spec.project)
        alike = self._kind(job, ask, concerned)
        if first := self._stuck.get(alike):
            self._alike[alike] += 1
            return replace(
                first, job_id=job.id, reason=f"{first.reason} (and {self._alike[alike]} like it came before)"
            )
        ask = replace(ask, budgets=concerned, project=job.spec.project, user=job.user, quotas=self._quotas)
        answers, options = self._ask(ask)
        answers, options, wait = self._gamble(job, ask, answers, options)
        placement = wait or self._line_up(self._decide(job, ask, answers, options), ask, options)
        if placement.chosen is not None:
            self._take(job, placement, options)
        self._quotas.decided(placement)
        if placement.verdict is not Verdict.RUN and not any(option.quote.available_now for option in options):
            # Reservations only make room smaller: what had no room for this one has none for the next alike.
            self._stuck[alike] = placement
        return placement

    def _kind(self, job: Job, ask: Ask, concerned: Sequence[Standing]) -> Hashable:
        """Equal for jobs that have no room where one of them has none."""
        submitted_ns = job.submitted_ns if self._rules.spot_rule is not SpotRule.CHEAPEST else 0
        within = tuple(each.budget.name for each in concerned)
        whose = (job.spec.project, job.user) if self._quotas.limit(job.spec.project) else ()
        return (ask.kind, ask.spent, ask.avoided, ask.done_s, submitted_ns, within, whose)

    def _ask(self, ask: Ask) -> tuple[Sequence[Answer], Sequence[Option]]:
        """What all pools answer; those that took the job back only count where no other has room for it now."""
        answers = [quoter.answer(ask) for quoter in self._quoters]
        options = [option for answer in answers for option in answer.options]
        if not ask.avoided or any(option.quote.available_now for option in options):
            return answers, options
        answers = [quoter.answer(replace(ask, avoided=())) for quoter in self._quoters]
        return answers, [option for answer in answers for option in answer.options]

    def _gamble(
        self, job: Job, ask: Ask, answers: Sequence[Answer], options: Sequence[Option]
    ) -> tuple[Sequence[Answer], Sequence[Option], Placement | None]:
        """What is left of the answers when the owner's rule for spot has spoken; or that the job waits for spot."""
        if self._rules.spot_rule is SpotRule.CHEAPEST:
            return answers, options, None
        able = [
            quoter.pool
            for quoter, answer in zip(self._quoters, answers, strict=True)
            if answer.options
            or any(not each.permanent and each.constraint not in reasons.HOLDING for each in answer.refusals)
        ]
        at = spot.standing(job, ask.duration, ask.done_s, spot.boots(able), self._now_ns)
        if at is None or at.ruling() is spot.Ruling.ANY:
            return answers, options, None
        on_spot = {pool.name for pool in able if spot.is_spot(pool)}
        if at.ruling() is spot.Ruling.NO_SPOT:
            kept = [self._without(answer, on_spot, spot.why_not(at)) for answer in answers]
            return kept, [option for answer in kept for option in answer.options], None
        if any(option.quote.available_now for option in options if option.quote.pool in on_spot):
            return answers, options, None
        return answers, options, self._soon(self._wait_for_spot(job, answers, options, at), ask)

    def _without(self, answer: Answer, pools: Set[str], why: str) -> Answer:
        refused = sorted({option.quote.pool for option in answer.options} & pools)
        return Answer(
            options=tuple(option for option in answer.options if option.quote.pool not in pools),
            refusals=answer.refusals
            + tuple(Refusal(pool=pool, constraint="spot", message=why, permanent=False) for pool in refused),
        )

    def _wait_for_spot(
        self, job: Job, answers: Sequence[Answer], options: Sequence[Option], at: spot.Standing
    ) -> Placement:
        return Placement(
            job_id=job.id,
            at_ns=self._now_ns,
            verdict=Verdict.WAIT,
            chosen=None,
            others=tuple(option.quote for option in options),
            refusals=tuple(refusal for answer in answers for refusal in answer.refusals),
            reason=spot.why_wait(at),
            flip=f"it would run on demand if it were behind, as it will be in {seconds(at.again_s())}",
            decide_again_ns=self._now_ns + round(at.again_s() * NS_PER_S),
        )

    def _decide(self, job: Job, ask: Ask, answers: Sequence[Answer], options: Sequence[Option]) -> Placement:
        refusals = [refusal for answer in answers for refusal in answer.refusals]
        return self._soon(place(job, options, refusals, self._now_ns, ask.duration, self._rules), ask)

    def _soon(self, placement: Placement, ask: Ask) -> Placement:
        """Looks again when a pool or a budget may be tried again, which is nothing that happens."""
        until = [until_ns for _, until_ns in ask.avoided if until_ns > self._now_ns] + self._rests
        until += budgets.again_ns(placement, ask.budgets, self._now_ns)
        if placement.verdict is not Verdict.WAIT or not until:
            return placement
        again_ns = min(until) if placement.decide_again_ns is None else min(*until, placement.decide_again_ns)
        return replace(placement, decide_again_ns=again_ns)

    def _line_up(self, placement: Placement, ask: Ask, options: Sequence[Option]) -> Placement:
        """A short job that waits for a pool is launched there for a place that comes free soon."""
        if placement.verdict is not Verdict.WAIT or placement.chosen is None:
            return placement
        option = _chosen(placement, options)
        line = self._lines[option.quote.pool]
        if not line.admits(ask, option):
            return placement
        line.take(option)
        return replace(
            placement,
            verdict=Verdict.RUN,
            reason=reasons.why_in_line(option),
            flip=f"it would stay in the queue if fewer than nine in ten like it ended within {seconds(SHORT_S)}",
            decide_again_ns=None,
        )

    def _take(self, job: Job, placement: Placement, options: Sequence[Option]) -> None:
        option = _chosen(placement, options)
        pool = option.quote.pool
        if placement.verdict is Verdict.RUN:
            amount = option.quote.p90_full
            self._quotas.begin(job.spec.project, job.user, option.quote.resources, job.spec.resources.num_nodes)
            self._standings = budgets.begun(self._standings, job.user, job.spec.tags, pool, amount, job.spec.project)
        else:
            self._waiting[pool] += 1
            if self._waiting[pool] > HELD_PLACES:
                return
        next(quoter for quoter in self._quoters if quoter.pool.name == pool).take(option)


def _chosen(placement: Placement, options: Sequence[Option]) -> Option:
    return next(option for option in options if option.quote is placement.chosen)


def _asks(
    queued: Sequence[Job],
    durations: Mapping[str, Duration],
    spent: Mapping[str, Money],
    avoid: Mapping[str, Mapping[str, int]],
    done: Mapping[str, float],
) -> list[Ask]:
    """What pools are asked for each; those that share their description and have not been tried share the question."""
    alike: dict[Hashable, Ask] = {}
    asks = []
    for job in queued:
        tried = job.id in spent or job.id in avoid or job.id in done
        key = job.id if tried else (id(job.spec), durations[job.id])
        if key not in alike:
            alike[key] = _ask(job, durations[job.id], spent, avoid, done)
        asks.append(alike[key])
    return asks


def _ask(
    job: Job,
    duration: Duration,
    spent: Mapping[str, Money],
    avoid: Mapping[str, Mapping[str, int]],
    done: Mapping[str, float],
) -> Ask:
    return Ask(
        spec=job.spec,
        duration=duration,
        kind=kind_of(job.spec, duration),
        key=environment_key(job.spec),
        spent=spent.get(job.id, ZERO),
        done_s=done.get(job.id, 0.0),
        avoided=tuple(sorted(avoid.get(job.id, {}).items())),
    )
