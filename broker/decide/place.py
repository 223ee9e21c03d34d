"""The options and refusals of all pools → the placement of one job, with its reason and what would change it.

Constraints and limits have had their say before. Here the option that adds least to the bill wins; the job waits for
it as long as it may, and not longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from broker.decide import flip, reasons
from broker.decide.constraints import preference
from broker.decide.patience import patience
from broker.decide.quote import Option
from broker.decide.rules import PlacementRules
from broker.model.jobs import Job, JobSpec
from broker.model.money import NS_PER_S
from broker.model.placement import Duration, Placement, Quote, Refusal, Verdict

_Key: TypeAlias = tuple[int, bool, int, float, bool, str, str, float]


def place(
    job: Job,
    options: Sequence[Option],
    refusals: Sequence[Refusal],
    now_ns: int,
    duration: Duration,
    rules: PlacementRules,
) -> Placement:
    """What to do with a job now. In which order pools come makes no difference."""
    return Decision(job, options, refusals, now_ns, duration, rules).placement()


def ranking(spec: JobSpec) -> Callable[[Option], _Key]:
    """What is better comes first: the job's own preference, least added cost (unknown last), the earlier end, paid
    capacity, and then the name.
    """

    def key(option: Option) -> _Key:
        quote = option.quote
        return (
            preference(spec, quote.resources),
            quote.marginal is None,
            quote.marginal.nanodollars if quote.marginal is not None else 0,
            quote.end_in_s,
            not any(line.sunk for line in quote.lines),
            quote.pool,
            quote.resources.gpu_model,
            quote.resources.gpus,
        )

    return key


class Decision:
    """One job's decision in the making."""

    def __init__(
        self,
        job: Job,
        options: Sequence[Option],
        refusals: Sequence[Refusal],
        now_ns: int,
        duration: Duration,
        rules: PlacementRules,
    ) -> None:
        self._job = job
        self._ranked = sorted(options, key=ranking(job.spec))
        self._refusals = tuple(sorted(refusals, key=lambda refusal: refusal.pool))
        self._now_ns = now_ns
        self._patience = patience(job, duration, now_ns, rules)

    def placement(self) -> Placement:
        """The decision."""
        if not self._ranked:
            return self._nowhere()
        now = [option for option in self._ranked if option.quote.available_now]
        if not now:
            return self._no_room()
        best = next(o for o in self._ranked if o.quote.available_now or self._patience.waits(o, now[0]))
        if best.quote.available_now:
            return self._run(best)
        patience_s = self._patience.for_(best, now[0])
        return self._made(
            Verdict.WAIT,
            best,
            reason=reasons.why_wait(best, now[0], self._patience),
            flip=flip.of_wait(best, now[0], patience_s),
            again_in_s=patience_s,
        )

    def _run(self, best: Option) -> Placement:
        return self._made(
            Verdict.RUN,
            best,
            reason=reasons.why_run(best, self._ranked, self._refusals, self._patience),
            flip=flip.of_run(best, self._ranked, self._refusals, self._patience),
        )

    def _no_room(self) -> Placement:
        first = min(self._ranked, key=lambda option: option.quote.start_in_s)
        best = next((option for option in self._ranked if self._patience.waits(option, first)), first)
        return self._made(
            Verdict.WAIT,
            best,
            reason=reasons.why_no_room(best),
            flip=f"it would start as soon as {best.quote.pool} had room for it",
            again_in_s=min(option.quote.start_in_s for option in self._ranked),
        )

    def _nowhere(self) -> Placement:
        for_ever = all(refusal.permanent for refusal in self._refusals)
        return self._made(
            Verdict.FAIL if for_ever else Verdict.WAIT,
            None,
            reason=reasons.why_nowhere(self._refusals, for_ever=for_ever),
            flip=flip.of_refusals(self._refusals),
            again_in_s=None if for_ever else self._patience.deadline_in_s,
        )

    def _made(
        self, verdict: Verdict, chosen: Option | None, *, reason: str, flip: str, again_in_s: float | None = None
    ) -> Placement:
        others: tuple[Quote, ...] = tuple(option.quote for option in self._ranked if option is not chosen)
        return Placement(
            job_id=self._job.id,
            at_ns=self._now_ns,
            verdict=verdict,
            chosen=chosen.quote if chosen else None,
            others=others,
            refusals=self._refusals,
            reason=reason,
            flip=flip,
            decide_again_ns=None if again_in_s is None else self._now_ns + int(again_in_s * NS_PER_S),
        )
