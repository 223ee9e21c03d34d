"""How a pool's last attempts began and ended → whether and how long it rests, so that jobs go elsewhere.

A pool that fails again and again is not asked by every queued job in turn. When its rest is over it is tried again,
and rests for twice as long if that fails too: a circuit breaker, half open after its rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.decide.backoff import doubling
from broker.decide.spot import LEAVES
from broker.decide.wording import seconds
from broker.model.jobs import Attempt, AttemptState
from broker.model.money import NS_PER_S

FAILURES: Final = 3  # in a row, after which a pool rests
FIRST_REST_S: Final = 30.0
LONGEST_REST_S: Final = 15 * 60.0
STAYED_S: Final = 60.0  # an attempt that ran so long before it was lost tells nothing against its pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a pool's attempts have shown so far."""

    failures: int = 0  # in a row
    failed_ns: int = 0  # when the last of them ended
    rests_until_ns: int = 0
    why: str = ""  # the last failure, in the words of the pool

    def resting(self, now_ns: int) -> str | None:
        """Why the pool takes no work now; None where it does."""
        if self.rests_until_ns <= now_ns:
            return None
        left = seconds((self.rests_until_ns - now_ns) / NS_PER_S)
        why = f" ({self.why})" if self.why else ""
        return f"it rests for {left} more: its last {self.failures} attempts did not get going{why}"


WELL: Final = Health()


def after(health: Health, attempt: Attempt, now_ns: int) -> Health:
    """What an attempt that has ended says of its pool. Raises ValueError for one that still goes on.

    One that had been placed before the last failure was known counts with that: many that are launched together, and
    fail together, are one failure.
    """
    if not attempt.state.ended:
        raise ValueError(f"attempt {attempt.id} has not ended: it is {attempt.state}")
    if (
        attempt.state is AttemptState.CANCELLED
        or attempt.reason == LEAVES
        or (_failed(attempt) and attempt.stored_ns <= health.failed_ns)
    ):
        return health
    if not _failed(attempt):
        return WELL
    failures = health.failures + 1
    rest_s = 0.0
    if failures >= FAILURES:
        rest_s = doubling(FIRST_REST_S, failures - FAILURES, LONGEST_REST_S)
    return Health(
        failures=failures,
        failed_ns=now_ns,
        rests_until_ns=now_ns + round(rest_s * NS_PER_S),
        why=attempt.reason,
    )


def _failed(attempt: Attempt) -> bool:
    """Whether its pool did not start it, or lost it soon."""
    if attempt.state is AttemptState.REFUSED:
        return True
    if attempt.state is not AttemptState.INTERRUPTED:
        return False
    ran_ns = (attempt.ended_ns or 0) - attempt.started_ns if attempt.started_ns is not None else 0
    return ran_ns < STAYED_S * NS_PER_S
