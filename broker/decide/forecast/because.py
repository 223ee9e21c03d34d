"""What a forecast was made from → why it is so, for somebody who pays for what it leads to."""

from __future__ import annotations

from collections.abc import Sequence

from broker.decide.forecast.backtest import Backtest
from broker.decide.forecast.models import PRIOR_GPUS
from broker.decide.forecast.past import Past
from broker.decide.wording import number, several

WAYS = {
    "jobs": "running jobs and those to come",
    "corrected": "the same corrected by past errors",
    "usual": "what is usual",
    "weekly": "the same weekday",
    "steady": "what is busy now",
}
TOLD = 0.05  # ways that count for less are told together


def because(then: Past, looked_back: Backtest, shares: Sequence[tuple[str, float]]) -> str:
    """What runs, how long it may last, what may come, and how much each way to look ahead counts; in GPUs."""
    now = len(then) - 1
    held = _gpus(float(then.level[now]))
    lasting = number(round(float(then.stay[now].mean(0)[: then.slots].mean()), 1))
    text = f"{held} busy now, and {lasting} on average over the next {_span(then)} if their jobs last as such jobs do."
    if not now:
        guess = f"{number(PRIOR_GPUS[0])} to {number(PRIOR_GPUS[-1])} GPUs"
        return f"{text} Less than a day has been seen: it is assumed that new jobs add {guess}, which is a guess."
    coming = number(round(float(then.come[then.rows(now), : then.slots].mean()), 1))
    text += f" On earlier days, the jobs that came in a day added {coming} on average."
    ways = _ways(shares)
    if not len(looked_back):
        return (
            f"{text} No day of forecasts could be checked yet: ways to look ahead count as they do elsewhere, {ways}."
        )
    return (
        f"{text} Ways to look ahead count by how right they were in the last {several(len(looked_back), 'day')}: "
        f"{ways}. What came then lay within the 90% band for {looked_back.coverage:.0%} of the time."
    )


def _gpus(count: float) -> str:
    rounded = round(count, 1)
    return f"{several(rounded, 'GPU')} {'is' if rounded == 1 else 'are'}"


def _ways(shares: Sequence[tuple[str, float]]) -> str:
    """The ways that count, most first; what is left of them together."""
    told = [(name, share) for name, share in shares if share >= TOLD]
    parts = [f"{WAYS[name]} {share:.0%}" for name, share in told]
    left = 1 - sum(share for _, share in told)
    return ", ".join([*parts, *([f"others {left:.0%}"] if left >= 0.005 else [])])


def _span(then: Past) -> str:
    hours = min(then.ahead, then.slots) * then.block_s / then.slots / 3_600
    return f"{number(round(hours, 1))} h"
