"""Budgets and what was spent → which jobs may begin, which are held and until when, which are not taken.

A job may begin when what was spent in the period, what is reserved for all that runs, and what it may cost itself (the
90 % quantile) are within the limit. So a limit is passed only by what attempts that have begun cost beyond what was
reserved for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from broker.decide.spend import this_period
from broker.model.budgets import Action, Asked, Budget, Period, Standing
from broker.model.money import ZERO, Money
from broker.model.placement import Placement, Refusal, Verdict
from broker.model.times import day_of

HELD: Final = "held"  # how the reason of a job that is held begins
BUDGET: Final = "budget"  # what a refusal is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A job that would begin."""

    job_id: str
    user: str
    tags: Mapping[str, str]
    pool: str | None  # None: not chosen yet
    amount: Money | None  # the 90 % quantile of what it costs; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a job may not begin now."""

    job_id: str
    budget: str
    reason: str
    until_ns: int | None  # when the budget begins anew; None: it does not
    pool: str | None  # only there; None: anywhere


def asked(budgets: Iterable[Budget], now_ns: int) -> tuple[Asked, ...]:
    """Budgets in the period of a moment."""
    found = []
    for budget in budgets:
        since_ns, until_ns = (None, None) if budget.period is Period.TOTAL else this_period(budget.period.value, now_ns)
        found.append(Asked(budget=budget, since_ns=since_ns, until_ns=until_ns))
    return tuple(found)


def covers(budget: Budget, user: str, tags: Mapping[str, str], pool: str | None) -> bool:
    """Whether a job is what a budget is for; of a pool, once it is known."""
    if budget.user is not None and budget.user != user:
        return False
    if budget.tag is not None and tags.get(budget.tag[0]) != budget.tag[1]:
        return False
    return budget.pool is None or budget.pool == pool


def admit(candidates: Sequence[Candidate], standings: Sequence[Standing]) -> tuple[list[Hold], list[Standing]]:
    """Those that may not begin, and the budgets after those that may. In the order given, each seeing those before."""
    now = list(standings)
    held: list[Hold] = []
    for candidate in candidates:
        concerned = [place for place, each in enumerate(now) if _concerns(each, candidate)]
        against = next((now[place] for place in concerned if not _fits(now[place], candidate.amount)), None)
        if against is not None:
            held.append(_hold(candidate, against))
            continue
        for place in concerned:
            each = now[place]
            now[place] = replace(each, committed=each.committed + (candidate.amount or ZERO))
    return held, now


def _concerns(standing: Standing, candidate: Candidate) -> bool:
    return covers(standing.budget, candidate.user, candidate.tags, candidate.pool)


def _fits(standing: Standing, amount: Money | None) -> bool:
    if not standing.budget.hard:
        return True
    return amount is not None and amount <= standing.left


def _hold(candidate: Candidate, standing: Standing) -> Hold:
    budget = standing.budget
    where = f" in {budget.pool}" if budget.pool else ""
    until = f" until {day_of(standing.until_ns)}" if standing.until_ns is not None else ""
    why = f"{_numbers(standing)}, {_needs(candidate.amount, budget)}"
    return Hold(
        job_id=candidate.job_id,
        budget=budget.name,
        reason=f"{HELD}{where} by budget {budget.name}{until}: {why}",
        until_ns=standing.until_ns,
        pool=budget.pool,
    )


def _numbers(standing: Standing) -> str:
    reserved = f", {standing.committed} reserved for what runs" if standing.committed else ""
    return f"{standing.spent} of {standing.budget.limit} spent{reserved}"


def _needs(amount: Money | None, budget: Budget) -> str:
    if amount is None:
        return "and what this job costs is not known: give the pool a price"
    if amount > budget.limit:
        return f"and this job may cost {amount}, more than all of it: raise the limit, or ask for less"
    return f"and this job may cost {amount}"


def taken(standings: Sequence[Standing], each: Money | None, jobs: int) -> Iterator[tuple[Standing, str]]:
    """Budgets that a submission of so many jobs finds no room in, those that refuse among them, with what to say."""
    for standing in standings:
        budget = standing.budget
        if each is None:
            if budget.hard:
                yield (
                    standing,
                    f"budget {budget.name}: what this costs is not known: give a pool that may run it a price",
                )
            continue
        left = standing.left - standing.queued
        if Money(each.nanodollars * jobs) <= left:
            continue
        waiting = f", {standing.queued} for what waits" if standing.queued else ""
        until = f" It begins anew on {day_of(standing.until_ns)}." if standing.until_ns is not None else ""
        may = f"this may cost {Money(each.nanodollars * jobs)}"
        yield standing, f"budget {budget.name}: {may}; {_numbers(standing)}{waiting}.{until}"


def held_placement(
    job_id: str, hold: Hold, at_ns: int, again_ns: int, instead_of: Placement | None = None
) -> Placement:
    """The decision to hold a job; `instead_of` is what would have been done."""
    refusal = Refusal(pool=hold.pool or "", constraint=BUDGET, message=hold.reason, permanent=False)
    others = ((instead_of.chosen,) if instead_of.chosen else ()) + instead_of.others if instead_of else ()
    return Placement(
        job_id=job_id,
        at_ns=at_ns,
        verdict=Verdict.WAIT,
        chosen=None,
        others=others,
        refusals=(*(instead_of.refusals if instead_of else ()), refusal),
        reason=hold.reason,
        flip=f"it would begin if budget {hold.budget} had room for it",
        decide_again_ns=again_ns if hold.until_ns is None else min(again_ns, hold.until_ns),
    )


def held(placement: Placement) -> bool:
    """Whether a decision is to hold a job for a budget."""
    return placement.verdict is Verdict.WAIT and any(each.constraint == BUDGET for each in placement.refusals)


def exhausted(standings: Iterable[Standing]) -> list[Standing]:
    """Budgets whose running jobs are to be stopped."""
    return [
        each for each in standings if each.budget.stop_running and each.budget.hard and each.spent >= each.budget.limit
    ]


def refuses(standing: Standing) -> bool:
    """Whether what finds no room is not taken."""
    return standing.budget.action is Action.REFUSE
