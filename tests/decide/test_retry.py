from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.retry import AVOID_S, after
from broker.model.jobs import ATTEMPT_ENDS, Attempt, AttemptState, Cause, Job, JobState, RetryPolicy
from broker.model.resources import Resources
from tests.decide.placing import NOW, S, job, spec

EVERY = RetryPolicy(on=frozenset(Cause), max_attempts=3, backoff_s=2.0, max_backoff_s=10.0)


def ended(state: AttemptState = AttemptState.FAILED, **fields: Any) -> Attempt:
    values: dict[str, Any] = {"id": "j-a1", "job_id": "j", "number": 1, "pool": "ray", "resources": Resources()}
    return Attempt(state=state, **{**values, **fields})


def tried(times: int, policy: RetryPolicy = EVERY, **fields: Any) -> Job:
    return job(spec(retry=policy), attempts=times, **fields)


def test_backoff_doubles_up_to_its_limit() -> None:
    patient = replace(EVERY, max_attempts=9)
    waits = [after(tried(n, patient), ended(), NOW).again_ns for n in range(1, 6)]
    assert waits == [NOW + s * S for s in (2, 4, 8, 10, 10)]


def test_it_ends_with_the_last_attempt() -> None:
    assert after(tried(2), ended(), NOW).again_ns is not None
    last = after(tried(3), ended(exit_code=3, reason="no luck"), NOW)
    assert (last.again_ns, last.final) == (None, JobState.FAILED)
    assert last.reason == "attempt 1 in ray failed (exit code 3): no luck; not retried: it was attempt 3 of 3"
    unsaid = after(tried(3), ended(exit_code=3, reason="exit code 3"), NOW)
    assert unsaid.reason == "attempt 1 in ray failed (exit code 3); not retried: it was attempt 3 of 3"


def test_only_causes_that_are_named_are_retried() -> None:
    decision = after(tried(1, RetryPolicy()), ended(), NOW)
    assert (decision.again_ns, decision.final) == (None, JobState.FAILED)
    assert "does not have error" in decision.reason
    assert after(tried(1, RetryPolicy()), ended(AttemptState.INTERRUPTED), NOW).again_ns is not None
    assert after(tried(1, RetryPolicy(on=frozenset())), ended(AttemptState.REFUSED), NOW).again_ns is None


def test_a_pool_without_room_is_avoided_for_a_while_and_costs_no_attempt() -> None:
    decision = after(tried(7), ended(AttemptState.REFUSED), NOW, refused=6)
    assert decision.again_ns is not None
    assert (decision.avoid_pool, decision.avoid_until_ns) == ("ray", NOW + int(AVOID_S * S))
    once = after(tried(5), ended(), NOW, refused=3)
    assert once.again_ns == NOW + 4 * S and "attempt 3 of 3" in once.reason
    assert after(tried(5), ended(), NOW).again_ns is None


def test_no_attempt_starts_after_the_time_allowed() -> None:
    policy = replace(EVERY, within_s=5.0)
    assert after(tried(1, policy), ended(), NOW + 3 * S).again_ns == NOW + 5 * S
    late = after(tried(1, policy), ended(), NOW + 4 * S)
    assert late.again_ns is None and "no new attempt later than 5 s" in late.reason


def test_success_and_cancellation_are_ends() -> None:
    assert after(tried(1), ended(AttemptState.SUCCEEDED), NOW).final is JobState.SUCCEEDED
    assert after(tried(1), ended(AttemptState.CANCELLED), NOW).final is JobState.CANCELLED


def test_an_attempt_still_going_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has not ended"):
        after(tried(1), ended(AttemptState.RUNNING), NOW)


@given(
    state=st.sampled_from(sorted(ATTEMPT_ENDS)),
    attempts=st.integers(1, 200),
    refused=st.integers(0, 5),
    causes=st.frozensets(st.sampled_from(list(Cause))),
    cancel=st.booleans(),
)
def test_a_decision_is_either_a_time_or_an_end(
    state: AttemptState, attempts: int, refused: int, causes: frozenset[Cause], cancel: bool
) -> None:
    policy = replace(EVERY, on=causes)
    decision = after(tried(attempts, policy, cancel_requested=cancel), ended(state), NOW, min(refused, attempts - 1))
    assert (decision.again_ns is None) == decision.final.ended
    if decision.again_ns is not None:
        assert NOW < decision.again_ns <= NOW + policy.max_backoff_s * S
        assert not cancel and state.cause in causes
    if cancel and state is not AttemptState.SUCCEEDED:
        assert decision.final is JobState.CANCELLED
