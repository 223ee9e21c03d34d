"""Budgets and what was spent → in which pools a job may begin, why not in others, and which jobs are not taken.

A job may begin when what was spent in the period, what is reserved for all that runs, and what it may cost itself (the
90 % quantile) are within the limit. So a limit is passed only by what attempts that have begun cost beyond what was
reserved for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from broker.decide.spend import this_period
from broker.model.budgets import Action, Asked, Budget, Period, Standing
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.placement import Placement, Refusal, Verdict
from broker.model.projects import DEFAULT_PROJECT
from broker.model.times import day_of

BUDGET: Final = "budget"  # what a refusal is about
LOOK_S: Final = 5.0  # how often held jobs are looked at again


def asked(budgets: Iterable[Budget], now_ns: int) -> tuple[Asked, ...]:
    """Budgets in the period of a moment."""
    found = []
    for budget in budgets:
        since_ns, until_ns = (None, None) if budget.period is Period.TOTAL else this_period(budget.period.value, now_ns)
        found.append(Asked(budget=budget, since_ns=since_ns, until_ns=until_ns))
    return tuple(found)


def covers(
    budget: Budget, user: str, tags: Mapping[str, str], pool: str | None, project: str = DEFAULT_PROJECT
) -> bool:
    """Whether a job is what a budget is for; of a pool, once it is known."""
    if budget.user not in (None, user) or budget.project not in (None, project):
        return False
    if budget.tag is not None and tags.get(budget.tag[0]) != budget.tag[1]:
        return False
    return budget.pool is None or budget.pool == pool


def concerning(
    standings: Sequence[Standing], user: str, tags: Mapping[str, str], project: str = DEFAULT_PROJECT
) -> tuple[Standing, ...]:
    """The budgets that a job is in, or would be in one of the pools."""
    return tuple(each for each in standings if covers(each.budget, user, tags, each.budget.pool, project))


def refused(standings: Sequence[Standing], pool: str, amount: Money | None) -> Refusal | None:
    """Why a job may not begin in a pool, of the budgets that concern it; None where all have room.

    `amount` is the 90 % quantile of what it costs there; one that nobody knows is within no limit.
    """
    for standing in standings:
        budget = standing.budget
        if not budget.hard or budget.pool not in (None, pool):
            continue
        if amount is None or amount > standing.left:
            return Refusal(
                pool=pool,
                constraint=BUDGET,
                message=f"{_named(standing)}: {_numbers(standing)}, {_needs(amount, budget)}",
                have=str(standing.left),
                need="?" if amount is None else str(amount),
                permanent=False,
            )
    return None


def begun(
    standings: Sequence[Standing],
    user: str,
    tags: Mapping[str, str],
    pool: str,
    amount: Money | None,
    project: str = DEFAULT_PROJECT,
) -> tuple[Standing, ...]:
    """The budgets after a job has begun in a pool, for which `amount` is reserved."""
    return tuple(
        replace(each, committed=each.committed + (amount or ZERO))
        if covers(each.budget, user, tags, pool, project)
        else each
        for each in standings
    )


def _named(standing: Standing) -> str:
    of = f" of {standing.budget.pool}" if standing.budget.pool else ""
    until = f" until {day_of(standing.until_ns)}" if standing.until_ns is not None else ""
    return f"budget {standing.budget.name}{of}{until}"


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


def held(placement: Placement) -> bool:
    """Whether a decision is to hold a job for a budget: but for it, some pool might take the job."""
    return placement.verdict is Verdict.WAIT and placement.chosen is None and _by_budget(placement)


def again_ns(placement: Placement, standings: Sequence[Standing], now_ns: int) -> list[int]:
    """When to look again at a job that budgets keep from a pool: soon, and when one of them begins anew."""
    if not _by_budget(placement):
        return []
    anew = (each.until_ns for each in standings if each.until_ns is not None and each.until_ns > now_ns)
    return [now_ns + round(LOOK_S * NS_PER_S), *anew]


def _by_budget(placement: Placement) -> bool:
    return any(each.constraint == BUDGET for each in placement.refusals)


def exhausted(standings: Iterable[Standing]) -> list[Standing]:
    """Budgets whose running jobs are to be stopped."""
    return [
        each for each in standings if each.budget.stop_running and each.budget.hard and each.spent >= each.budget.limit
    ]


def passed(standing: Standing) -> str:
    """The last mark that what was spent has passed: `spent`, `nearly_spent` (four fifths), or "" for none yet."""
    if standing.spent >= standing.budget.limit:
        return "spent"
    return "nearly_spent" if 5 * standing.spent.nanodollars >= 4 * standing.budget.limit.nanodollars else ""


def in_words(standing: Standing) -> str:
    """How a budget stands, in a sentence for people."""
    budget = standing.budget
    period = "in all" if budget.period is Period.TOTAL else f"a {budget.period.value}"
    return f"budget {budget.name}: ${standing.spent.usd:,.2f} of ${budget.limit.usd:,.2f} {period} is spent"


def refuses(standing: Standing) -> bool:
    """Whether what finds no room is not taken."""
    return standing.budget.action is Action.REFUSE
