"""What was seen → GPUs that will be busy once what is asked for now has booted, if the load moves as it usually does.

The level now plus what this time of the day, or of the week, has usually added by then. It is never below the level
now: a usual fall that does not come would give up what is needed, and one that comes is seen soon enough.
"""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.observe import Seen
from broker.decide.market import Market
from broker.decide.workload import Floats

DAY_S = 86_400.0
PERIODS = ((1, 5), (7, 3))  # days of a cycle, and how many past cycles at most its usual course is the mean of
AROUND_S = 1_800.0  # a usual course is averaged over so long


def expected(seen: Seen, market: Market) -> Floats:
    """One row a cycle, one column a step: GPUs expected a boot later. Column t rests on cycles that were over by t."""
    steps, ahead = len(seen.level), market.boot + 1
    around = max(round(AROUND_S / market.step_s), 1)
    rows = [
        seen.level + _usual_rise(seen.demand, _length(days, market), ahead, memory, around) for days, memory in PERIODS
    ]
    return np.maximum(np.array(rows).reshape(len(PERIODS), steps), seen.level)


def _length(days: int, market: Market) -> int:
    return max(round(days * DAY_S / market.step_s), 1)


def _usual_rise(demand: Floats, length: int, ahead: int, memory: int, around: int) -> Floats:
    """What `ahead` steps have usually added to the load at each time of a cycle; 0 in the first cycle."""
    rise = np.zeros(len(demand))
    usual = np.zeros(length)
    for cycle, begin in enumerate(range(0, len(demand), length)):
        course = _smooth(usual, around)
        now = np.arange(min(length, len(demand) - begin))
        if cycle:
            rise[begin : begin + length] = course[(now + ahead) % length] - course[now]
        if len(now) == length:
            usual += (demand[begin : begin + length] - usual) / min(cycle + 1, memory)
    return rise


def _smooth(course: Floats, around: int) -> Floats:
    """A cycle averaged over `around` steps, its end joined to its begin."""
    around = min(around, len(course))
    before = around // 2
    joined = np.concatenate([course[len(course) - before :], course, course[: around - before]])
    upto = np.concatenate([[0.0], np.cumsum(joined)])
    return np.asarray((upto[around:] - upto[:-around])[: len(course)] / around, np.float64)
