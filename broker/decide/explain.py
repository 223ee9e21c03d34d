"""A placement, and what came of it → sentences: what was chosen and why, what was not, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from broker.decide.wording import cpus, number, seconds, start
from broker.model.jobs import Attempt
from broker.model.money import NS_PER_S, Money
from broker.model.placement import Placement, Quote, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one decision about a job was made, in words."""

    job_id: str
    verdict: Verdict
    chosen: str  # the pool chosen or waited for, what it costs, when it starts and ends; "" when there is none
    reason: str
    rejected: tuple[str, ...]  # one sentence for each other quote and each refusal
    difference: Money | None  # what the cheapest other pool would have added more; None when that can't be told
    flip: str  # what would have made the answer another one
    warnings: tuple[str, ...]
    actual: tuple[str, ...] = ()  # what came of it, where something has


def explain(
    placement: Placement,
    attempts: Sequence[Attempt] = (),
    cost: Money | None = None,
    unknown_charges: int = 0,
    *,
    ended: bool = False,
    deadline_ns: int | None = None,
) -> Explanation:
    """Puts a decision into words. `attempts` are those of the job, `cost` what it is known to have cost in all.

    `unknown_charges` counts charges without a known price, which are not in `cost`; `ended` says that all that ran is
    charged.
    """
    chosen = placement.chosen
    return Explanation(
        job_id=placement.job_id,
        verdict=placement.verdict,
        chosen=_described(chosen) if chosen else "",
        reason=placement.reason,
        rejected=(
            *(_compared(other, chosen) for other in placement.others),
            *(f"{refusal.pool} can't run it: {refusal.message}" for refusal in placement.refusals),
        ),
        difference=_difference(placement),
        flip=placement.flip,
        warnings=chosen.warnings if chosen else (),
        actual=(
            *_attempts(attempts, chosen),
            *_late(attempts, deadline_ns),
            *_cost(chosen, cost, unknown_charges, ended),
        ),
    )


def _described(quote: Quote) -> str:
    held = quote.resources
    gpus = f"{number(held.gpus)} {'emulated ' if quote.emulated else ''}{held.gpu_model}, " if held.gpus else ""
    full = f", {quote.full} with what is paid anyway" if quote.full != quote.marginal and quote.full is not None else ""
    return (
        f"{quote.pool} ({gpus}{cpus(held.cpus)}): {start(quote.start_in_s)}, "
        f"ends in about {seconds(quote.end_in_s)} ({quote.duration.source}), adds {_amount(quote.marginal)}{full}"
    )


def _compared(other: Quote, chosen: Quote | None) -> str:
    times = f"{start(other.start_in_s)}, ends in about {seconds(other.end_in_s)}"
    more = ""
    if chosen and chosen.marginal is not None and other.marginal is not None:
        gap = other.marginal - chosen.marginal
        more = f", {gap} more" if gap.nanodollars > 0 else f", {-gap} less" if gap else ", the same"
    room = "" if other.available_now else ", no room now"
    return f"{other.pool}: adds {_amount(other.marginal)}{more}; {times}{room}"


def _amount(amount: Money | None) -> str:
    return "an unknown amount" if amount is None else str(amount)


def _difference(placement: Placement) -> Money | None:
    chosen = placement.chosen
    if chosen is None or chosen.marginal is None:
        return None
    known = [quote.marginal for quote in placement.others if quote.pool != chosen.pool and quote.marginal is not None]
    return min(known) - chosen.marginal if known else None


def _attempts(attempts: Sequence[Attempt], chosen: Quote | None) -> Iterator[str]:
    for attempt in attempts:
        ran = ""
        if attempt.started_ns is not None and attempt.ended_ns is not None:
            ran = f" after {seconds((attempt.ended_ns - attempt.started_ns) / NS_PER_S)}"
            if chosen and chosen.pool == attempt.pool:
                ran += f" ({seconds(chosen.duration.p50_s)} expected)"
        why = f": {attempt.reason}" if attempt.reason else ""
        yield f"attempt {attempt.number} in {attempt.pool} {attempt.state.replace('_', ' ')}{ran}{why}"


def _late(attempts: Sequence[Attempt], deadline_ns: int | None) -> Iterator[str]:
    """Of a deadline that passed before what ran last had ended."""
    ended_ns = max((attempt.ended_ns or 0 for attempt in attempts), default=0)
    if deadline_ns is not None and ended_ns > deadline_ns:
        yield f"it ended {seconds((ended_ns - deadline_ns) / NS_PER_S)} after its deadline"


def _cost(chosen: Quote | None, cost: Money | None, unknown_charges: int, ended: bool) -> Iterator[str]:
    if cost is not None:
        expected = f"; {chosen.full} was expected" if chosen and chosen.full is not None else ""
        yield f"cost {cost}{'' if ended else ' so far'}{expected}"
    if unknown_charges:
        yield f"{unknown_charges} charges have no known price and are not in it"
