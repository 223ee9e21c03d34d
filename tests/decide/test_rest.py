from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.rest import FAILURES, FIRST_REST_S, LONGEST_REST_S, STAYED_S, WELL, Health, after
from broker.model.jobs import ATTEMPT_ENDS, Attempt, AttemptState
from broker.model.resources import Resources
from tests.decide.placing import NOW, S


def ended(state: AttemptState, at_s: float = 0.0, ran_s: float | None = None) -> Attempt:
    at_ns = NOW + round(at_s * S)
    return Attempt(
        id="j-a1",
        job_id="j",
        number=1,
        pool="ray",
        resources=Resources(),
        state=state,
        stored_ns=at_ns,
        started_ns=None if ran_s is None else at_ns,
        ended_ns=at_ns + round((ran_s or 0.0) * S),
        reason="no GPUs left",
    )


def refused(times: int, health: Health = WELL, from_s: float = 0.0) -> Health:
    for number in range(times):
        at_s = from_s + 1.0 + 10_000 * number
        health = after(health, ended(AttemptState.REFUSED, at_s), NOW + round((at_s + 0.5) * S))
    return health


def test_it_rests_after_failures_in_a_row_longer_each_time_and_not_for_ever() -> None:
    rests = [(refused(n).rests_until_ns - refused(n).failed_ns) / S for n in range(1, FAILURES + 3)]
    assert rests == [0.0] * (FAILURES - 1) + [FIRST_REST_S, 2 * FIRST_REST_S, 4 * FIRST_REST_S]
    assert refused(60).rests_until_ns - refused(60).failed_ns == LONGEST_REST_S * S


def test_one_that_gets_going_ends_the_row() -> None:
    tired = refused(FAILURES)
    assert after(tired, ended(AttemptState.SUCCEEDED, ran_s=1), NOW) == WELL
    assert after(tired, ended(AttemptState.FAILED, ran_s=1), NOW) == WELL
    assert after(tired, ended(AttemptState.INTERRUPTED, ran_s=STAYED_S), NOW) == WELL
    assert after(tired, ended(AttemptState.CANCELLED), NOW) == tired
    soon = ended(AttemptState.INTERRUPTED, 1e6, ran_s=STAYED_S - 1)
    assert after(tired, soon, NOW + 10**7 * S).failures == FAILURES + 1


def test_what_was_launched_together_and_fails_together_is_one_failure() -> None:
    health = WELL
    for _ in range(10):
        health = after(health, ended(AttemptState.REFUSED), NOW + S)
    assert (health.failures, health.resting(NOW + S)) == (1, None)


def test_why_it_rests_is_said_until_it_is_over() -> None:
    tired = refused(FAILURES)
    said = tired.resting(tired.failed_ns)
    assert said == "it rests for 30 s more: its last 3 attempts did not get going (no GPUs left)"
    assert tired.resting(tired.rests_until_ns) is None


def test_an_attempt_still_going_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has not ended"):
        after(WELL, replace(ended(AttemptState.FAILED), state=AttemptState.RUNNING), NOW)


@given(st.lists(st.sampled_from(sorted(ATTEMPT_ENDS)), max_size=30))
def test_a_rest_is_over_in_bounded_time_and_only_rows_of_failures_bring_one(ends: list[AttemptState]) -> None:
    health, row = WELL, 0
    for number, state in enumerate(ends):
        at_ns = NOW + (10_000 * number + 1) * S
        health = after(health, ended(state, 10_000 * number), at_ns)
        if state is not AttemptState.CANCELLED:
            row = row + 1 if state in (AttemptState.REFUSED, AttemptState.INTERRUPTED) else 0
        assert (health.failures, health.rests_until_ns > health.failed_ns) == (row, row >= FAILURES)
        assert health.rests_until_ns <= at_ns + LONGEST_REST_S * S
