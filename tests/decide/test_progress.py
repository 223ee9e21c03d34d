"""What a report makes of an attempt and its job."""

from broker.decide.progress import advance
from broker.model.jobs import Attempt, AttemptReport, AttemptState, Job, JobSpec, JobState
from broker.model.resources import Resources

S = 1_000_000_000


def timed_out(**spec: object) -> str:
    job = Job(
        id="j",
        spec=JobSpec(name="train", run="true", **spec),  # type: ignore[arg-type]
        state=JobState.RUNNING,
        user="ann",
        submitted_ns=0,
        attempts=1,
    )
    running = AttemptState.RUNNING
    attempt = Attempt(id="j-a1", job_id="j", number=1, pool="ray", resources=Resources(cpus=1), state=running)
    report = AttemptReport(
        attempt_id="j-a1",
        state=AttemptState.TIMED_OUT,
        at_ns=9 * S,
        started_ns=2 * S,
        ended_ns=9 * S,
        reason="over 7 s",
    )
    progress = advance(job, attempt, report, 9 * S)
    assert progress is not None
    return progress.attempt.reason


def test_a_run_that_spent_its_money_is_told_so() -> None:
    assert timed_out(max_cost_usd="5") == "ended after 7 s: it had cost the job's max_cost of $5"
    assert timed_out(max_cost_usd="5", max_duration_s=100.0).startswith("ended after 7 s")


def test_a_run_whose_own_time_was_up_is_told_that() -> None:
    assert timed_out() == "over 7 s"
    assert timed_out(max_cost_usd="5", max_duration_s=7.0) == "over 7 s"
