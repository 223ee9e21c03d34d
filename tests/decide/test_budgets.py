"""Which jobs budgets let begin, hold, warn of and refuse."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.budgets import Candidate, admit, asked, covers, exhausted, held, held_placement, taken
from broker.model.budgets import Action, Budget, Period, Standing
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.placement import Verdict
from broker.testing.store_values import job, placement

NOW_NS = 1_795_444_200 * NS_PER_S  # 2026-11-23T14:30, a Monday
BUDGET = Budget(name="lab", limit=Money(100))
amounts = st.none() | st.integers(0, 60).map(Money)


def standing(spent: int = 0, committed: int = 0, queued: int = 0, **fields: object) -> Standing:
    return Standing(
        budget=replace(BUDGET, **fields),
        since_ns=0,
        until_ns=NOW_NS,
        spent=Money(spent),
        committed=Money(committed),
        queued=Money(queued),
    )


def candidate(amount: Money | None, job_id: str = "a", **fields: object) -> Candidate:
    values = {"user": "ann", "tags": {"team": "red"}, "pool": "ray", **fields}
    return Candidate(job_id=job_id, amount=amount, **values)  # type: ignore[arg-type]


@given(st.lists(amounts, max_size=12), st.integers(0, 120), st.integers(0, 120), st.sampled_from(Action))
def test_what_begins_is_within_the_limit_and_what_is_held_would_pass_it(asks, spent, committed, action) -> None:
    before = standing(spent, committed, action=action)
    holds, (after,) = admit([candidate(each, str(n)) for n, each in enumerate(asks)], [before])
    begun = [each for n, each in enumerate(asks) if str(n) not in {hold.job_id for hold in holds}]
    assert after.committed == before.committed + Money.total(each or ZERO for each in begun)
    if action is Action.WARN:
        assert not holds
        return
    assert not begun or after.spent + after.committed <= BUDGET.limit or not any(begun)
    for hold in holds:
        amount = asks[int(hold.job_id)]
        assert amount is None or amount > after.left


def test_a_budget_is_for_what_fits_it_in_each_way() -> None:
    for fields, expected in (
        ({}, True),
        ({"user": "ann"}, True),
        ({"user": "bob"}, False),
        ({"tag": ("team", "red")}, True),
        ({"tag": ("team", "blue")}, False),
        ({"pool": "ray"}, True),
        ({"pool": "modal"}, False),
        ({"user": "ann", "tag": ("team", "blue")}, False),
    ):
        assert covers(replace(BUDGET, **fields), "ann", {"team": "red"}, "ray") is expected, fields
    assert not covers(replace(BUDGET, pool="ray"), "ann", {}, None)


@pytest.mark.parametrize(
    ("period", "since", "until"),
    [
        (Period.DAY, "2026-11-23", "2026-11-24"),
        (Period.WEEK, "2026-11-23", "2026-11-30"),
        (Period.MONTH, "2026-11-01", "2026-12-01"),
    ],
)
def test_periods(period: Period, since: str, until: str) -> None:
    from datetime import UTC, datetime

    (found,) = asked([replace(BUDGET, period=period)], NOW_NS)
    days = [datetime.fromtimestamp(ns // NS_PER_S, UTC).date().isoformat() for ns in (found.since_ns, found.until_ns)]
    assert days == [since, until]


def test_a_total_has_no_end() -> None:
    (found,) = asked([replace(BUDGET, period=Period.TOTAL)], NOW_NS)
    assert (found.since_ns, found.until_ns) == (None, None)


def test_the_reason_says_why_and_until_when() -> None:
    dollars = {"limit": Money.of_usd(500)}
    before = replace(standing(**dollars), spent=Money.of_usd(480), committed=Money.of_usd(15))
    (hold,), _ = admit([candidate(Money.of_usd(12))], [before])
    assert hold.reason == (
        "held by budget lab until 2026-11-23: $480.00 of $500.00 spent, $15.00 reserved for what runs, "
        "and this job may cost $12.00"
    )
    (more,), _ = admit([candidate(Money.of_usd(900))], [standing(**dollars)])
    assert "more than all of it" in more.reason
    (unknown,), _ = admit([candidate(None)], [standing(**dollars, pool="ray")])
    assert unknown.reason.startswith("held in ray by budget lab")
    assert "not known" in unknown.reason


def test_a_submission_counts_what_waits_already() -> None:
    full = standing(spent=40, queued=50)
    assert [said for _, said in taken([full], Money(5), 2)] == []
    ((_, said),) = taken([full], Money(5), 3)
    assert said.startswith("budget lab: this may cost $0.000000015;")
    assert len(list(taken([full], None, 1))) == 1
    assert list(taken([replace(full, budget=replace(BUDGET, action=Action.WARN))], None, 1)) == []


def test_a_held_job_waits_and_what_would_have_been_is_kept() -> None:
    (hold,), _ = admit([candidate(Money(60))], [standing(spent=50)])
    run = placement(job("a"))
    made = held_placement("a", hold, 5, 99, run)
    assert (made.verdict, made.chosen, made.decide_again_ns) == (Verdict.WAIT, None, 99)
    assert made.others[0] == run.chosen
    assert held(made)
    assert not held(run)


def test_only_budgets_that_say_so_stop_what_runs() -> None:
    spent = standing(spent=100)
    assert exhausted([spent]) == []
    stopping = replace(spent, budget=replace(BUDGET, stop_running=True))
    assert exhausted([stopping, replace(stopping, spent=Money(99))]) == [stopping]
