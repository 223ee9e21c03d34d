from dataclasses import replace
from typing import Any

import pytest

from broker.decide.policy import PlacementRules
from broker.decide.spot import LEAVES, Ruling, SpotRule, Standing, boots, done_s, kept_s, moved, remaining, standing
from broker.model.jobs import Attempt, AttemptReport, AttemptState, Cause, RetryPolicy
from broker.model.offers import Tier
from broker.model.placement import Duration, Placement, Quote, Verdict
from broker.model.resources import Resources
from tests.decide.placing import NOW, S, cluster, decide, job, l4, offer, spec, state

RULES = PlacementRules(spot_rule=SpotRule.UNIFORM_PROGRESS)
SPOT = cluster("cheap", offers=(offer("0.30", tier=Tier.SPOT),), cold_start_s=60.0)
SURE = cluster("sure", cold_start_s=60.0)
HOURS = 3_600.0


def chosen(placement: Placement) -> Quote:
    assert placement.verdict is Verdict.RUN and placement.chosen is not None, placement.reason
    return placement.chosen


def training(**fields: Any) -> Any:
    """Ten hours of work, a deadline in twenty."""
    values = {
        "max_duration_s": 10 * HOURS,
        "est_runtime_s": 10 * HOURS,
        "checkpoint_every_s": 600.0,
        "deadline_ns": NOW + round(20 * HOURS * S),
        "retry": RetryPolicy(max_attempts=50),
    }
    return spec(l4(), **{**values, **fields})


def decided(of: Any, *states: Any, later_s: float = 0.0, done: float = 0.0) -> Any:
    more = {"done": {"j0": done}} if done else {}
    return decide(of, *states, rules=RULES, now_ns=NOW + round(later_s * S), **more)


def attempt(state_: AttemptState, ran_s: float | None) -> Attempt:
    times = {} if ran_s is None else {"started_ns": NOW, "ended_ns": NOW + round(ran_s * S)}
    return Attempt(id="j-a1", job_id="j", number=1, pool="sure", resources=Resources(), state=state_, **times)


def test_work_up_to_the_last_checkpoint_is_kept() -> None:
    of = training()
    assert [kept_s(of, ran_s) for ran_s in (599, 600, 3_700)] == [0, 600, 3_600]
    assert kept_s(replace(of, checkpoint_every_s=None), 3_700) == 0
    made = [
        attempt(AttemptState.INTERRUPTED, 1_300),
        attempt(AttemptState.REFUSED, None),
        attempt(AttemptState.INTERRUPTED, 700),
    ]
    assert done_s(of, made) == 1_800
    left = remaining(Duration(p50_s=2_000, p90_s=3_000, source="your est_runtime"), 1_800)
    assert (left.p50_s, left.p90_s) == (200, 1_200)
    assert "less 30 min that are done" in left.source


def test_spot_is_used_while_it_is_there() -> None:
    assert chosen(decided(training(), state(SPOT), state(SURE))).pool == "cheap"


def test_without_spot_it_runs_on_demand_while_behind_and_waits_while_ahead() -> None:
    nothing = state(SPOT, units=0)
    behind = decided(training(), nothing, state(SURE), later_s=HOURS)
    assert chosen(behind).pool == "sure"
    ahead = decided(training(), nothing, state(SURE), later_s=HOURS, done=2 * HOURS)
    assert (ahead.verdict, ahead.chosen) == (Verdict.WAIT, None)
    assert "waits for spot, of which there is none" in ahead.reason
    assert ahead.decide_again_ns == pytest.approx(NOW + 20 * HOURS * 2 / 12 * S, abs=2 * S)


def test_close_to_the_deadline_it_does_not_gamble() -> None:
    close = decided(training(deadline_ns=NOW + round(10.2 * HOURS * S)), state(SPOT), state(SURE))
    assert chosen(close).pool == "sure"
    (refusal,) = close.refusals
    assert (refusal.pool, refusal.constraint, refusal.permanent) == ("cheap", "spot", False)
    assert "too close to gamble" in refusal.message
    last = decided(training(retry=RetryPolicy(max_attempts=1)), state(SPOT), state(SURE))
    assert chosen(last).pool == "sure" and "does not gamble with the last" in last.refusals[0].message


def test_only_who_has_a_choice_is_ruled() -> None:
    assert chosen(decided(training(deadline_ns=None), state(SPOT), state(SURE))).pool == "cheap"
    alone = training(deadline_ns=NOW + round(10.2 * HOURS * S))
    assert chosen(decided(alone, state(SPOT))).pool == "cheap"


def test_one_that_was_told_to_leave_is_interrupted_and_not_cancelled() -> None:
    leaving = replace(attempt(AttemptState.RUNNING, None), reason=LEAVES)
    report = AttemptReport(attempt_id="j-a1", state=AttemptState.CANCELLED, at_ns=NOW)
    assert moved(job(training()), leaving, report).state is AttemptState.INTERRUPTED
    assert moved(job(training(), cancel_requested=True), leaving, report) is report
    assert moved(job(training()), replace(leaving, reason=""), report) is report


def test_it_leaves_when_it_is_ahead_by_two_boots_and_could_still_be_sure() -> None:
    at = Standing(done_s=2_000, left_s=2_000, since_s=3_000, until_s=5_000, changeover_s=500, boot_s=500, tries_left=9)
    assert (at.ahead_s, at.ruling(), at.leaves()) == (1_000, Ruling.WAIT, True)
    assert not replace(at, boot_s=501).leaves()
    assert not replace(at, changeover_s=1_501).leaves()
    assert replace(at, changeover_s=3_001).ruling() is Ruling.NO_SPOT
    assert not replace(at, tries_left=1).leaves()


def test_a_job_that_is_not_retried_after_an_interruption_has_one_try() -> None:
    of = job(training(retry=RetryPolicy(on=frozenset({Cause.ERROR}))))
    at = standing(of, Duration(p50_s=1, p90_s=1, source=""), 0.0, boots([SPOT, SURE]), NOW)
    assert at is not None and at.ruling() is Ruling.NO_SPOT
