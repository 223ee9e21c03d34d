"""A quote and a job's limits of money and time → why the quote may not be taken, or None."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from broker.decide.duration import is_prior
from broker.decide.wording import seconds
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.placement import Duration, Quote, Refusal

STARTING_S: Final = 6.0  # that a command may take to begin on a busy node that is up, which it holds already
ENDING_S: Final = 6.0  # that an attempt may go on at most after its time is up: SIGTERM, its grace, and seeing it


def left_s(spec: JobSpec, now_ns: int) -> float | None:
    """Seconds to the job's deadline, negative behind it; None where it has none."""
    return None if spec.deadline_ns is None else (spec.deadline_ns - now_ns) / NS_PER_S


def too_late(spec: JobSpec, pool: str, duration: Duration, now_ns: int) -> Refusal | None:
    """Whether a job can't meet its deadline even if it started at once."""
    left = left_s(spec, now_ns)
    if left is None or _finish_s(spec, duration) < left:
        return None
    return _late(pool, spec, duration, left, 0.0, permanent=True)


def refused(spec: JobSpec, quote: Quote, hourly: Money | None, spent: Money, now_ns: int) -> Refusal | None:
    """The first limit that a quote breaks. `hourly` is what the job's part costs per hour, `spent` what it has cost."""
    over = _over_hourly_cost(spec, quote, hourly) or _over_max_cost(spec, quote, spent)
    return over or _misses_deadline(spec, quote, now_ns)


def affordable_s(spec: JobSpec, quote: Quote, hourly: Money | None, spent: Money, start_s: float = 0.0) -> float | None:
    """Seconds after which a quoted run is told to end, so that the job costs no more than its max_cost.

    Its end is paid as well, and so are `start_s` before its command runs, so it is told before; but never before what
    it was expected to need at most (p90). None where nothing limits it.
    """
    if spec.max_cost_usd is None or quote.full is None or not hourly:
        return None
    per_s = Decimal(hourly.nanodollars) / 3600
    fixed = max(quote.full.nanodollars - per_s * Decimal(quote.duration.p50_s), Decimal(0))
    left = Money.of_usd(Decimal(spec.max_cost_usd)).nanodollars - spent.nanodollars - fixed
    paid_s = max(float(left / per_s), 0.0)
    return max(paid_s - start_s - ENDING_S, min(quote.duration.p90_s, paid_s))


def _over_hourly_cost(spec: JobSpec, quote: Quote, hourly: Money | None) -> Refusal | None:
    if spec.resources.max_hourly_cost is None:
        return None
    limit = Money.of_usd(Decimal(spec.resources.max_hourly_cost))
    if hourly is None:
        return _refusal(quote.pool, f"its price is unknown, so max_hourly_cost {limit} can't be kept", "?", limit)
    if hourly <= limit:
        return None
    return _refusal(quote.pool, f"it costs {hourly} an hour, over max_hourly_cost {limit}", str(hourly), limit)


def _over_max_cost(spec: JobSpec, quote: Quote, spent: Money) -> Refusal | None:
    if spec.max_cost_usd is None:
        return None
    limit = Money.of_usd(Decimal(spec.max_cost_usd))
    if quote.p90_full is None:
        return _refusal(quote.pool, f"its price is unknown, so max_cost {limit} can't be kept", "?", limit)
    if spent + quote.p90_full <= limit:
        return None
    run_s = seconds(quote.duration.p90_s)
    before = f" after {spent} already spent" if spent != ZERO else ""
    message = f"it would cost up to {quote.p90_full} (for {run_s}, p90){before}, over max_cost {limit}"
    return _refusal(quote.pool, message, str(spent + quote.p90_full), limit)


def _refusal(pool: str, message: str, have: str, limit: Money) -> Refusal:
    return Refusal(pool=pool, constraint="price", message=message, have=have, need=str(limit))


def _misses_deadline(spec: JobSpec, quote: Quote, now_ns: int) -> Refusal | None:
    left = left_s(spec, now_ns)
    if left is None or quote.start_in_s + _finish_s(spec, quote.duration) < left:
        return None
    return _late(quote.pool, spec, quote.duration, left, quote.start_in_s, permanent=False)


def _finish_s(spec: JobSpec, duration: Duration) -> float:
    """The run time that must fit before the deadline. Of a job of which nothing is known, none can be demanded."""
    return 0.0 if is_prior(spec, duration) else duration.p90_s


def _late(pool: str, spec: JobSpec, duration: Duration, left: float, start_s: float, *, permanent: bool) -> Refusal:
    when = f"in {seconds(left)}" if left > 0 else f"past for {seconds(-left)}"
    run_s = _finish_s(spec, duration)
    starts = f"would start in {seconds(start_s)}" if start_s else "has not started"
    takes = f"{starts} and may take {seconds(run_s)} (p90)" if run_s else starts
    return Refusal(
        pool=pool,
        constraint="deadline",
        message=f"the deadline is {when}; the job {takes}",
        have=seconds(max(left, 0.0)),
        need=seconds(start_s + run_s),
        permanent=permanent,
    )
