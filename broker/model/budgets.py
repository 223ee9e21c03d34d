"""Budgets: how much may be spent by whom, on what, in which period, and what happens when it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from broker.model.money import Money


class Period(StrEnum):
    """How often a budget begins anew: at midnight UTC, on Mondays, on the first of the month, never."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Action(StrEnum):
    """What becomes of a job that a budget has no room for."""

    WARN = "warn"  # it runs; said where it is submitted
    HOLD = "hold"  # it stays queued until there is room
    REFUSE = "refuse"  # it is not taken; once taken, it is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit. What it is for must fit in each way that is given."""

    name: str
    limit: Money
    period: Period = Period.MONTH
    action: Action = Action.HOLD
    user: str | None = None
    pool: str | None = None
    project: str | None = None
    tag: tuple[str, str] | None = None  # key and value
    stop_running: bool = False  # jobs that run are cancelled once the limit is spent
    configured: bool = False  # by the configuration: can't be changed otherwise

    @property
    def hard(self) -> bool:
        """Whether it ever keeps a job from running."""
        return self.action is not Action.WARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A budget in one of its periods."""

    budget: Budget
    since_ns: int | None  # None: from the beginning
    until_ns: int | None  # None: for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What has become of a budget in its period, so far."""

    budget: Budget
    since_ns: int | None
    until_ns: int | None  # when it begins anew; None: never
    spent: Money  # charges that began in the period
    committed: (
        Money  # reserved for attempts that run or are not yet charged to their end, beyond what they were charged
    )
    queued: Money  # reserved for jobs that wait
    unpriced: int = 0  # charges without a known price, which are in no amount

    @property
    def left(self) -> Money:
        """What may be begun now."""
        return self.budget.limit - self.spent - self.committed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What the jobs of a submission may cost, to be held against budgets when they are stored."""

    each: Money | None  # the 90 % quantile of one job; None: not known
    budgets: tuple[Asked, ...]  # those that the jobs are in
    now_ns: int
    tails: tuple[str, ...] = ()  # serverless pools
