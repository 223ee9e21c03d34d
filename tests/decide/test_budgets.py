"""Which jobs budgets let begin, hold, warn of and refuse."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.budgets import asked, begun, covers, exhausted, held, refused, taken
from broker.decide.duration import estimate
from broker.decide.policy import PlacementRules, PoolState, dispatch
from broker.model.budgets import Action, Budget, Period, Standing
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S, ZERO, Money
from broker.model.placement import Verdict
from broker.testing.store_values import job
from tests.decide.placing import NOW, cluster, decide_all, l4, node, serverless, some_pools, spec, specs, state

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


def begin(asks: list[Money | None], before: Standing) -> tuple[list[int], Standing]:
    """Which of these may begin in a pool, in this order, and the budget after them."""
    begun_, now = [], (before,)
    for number, amount in enumerate(asks):
        if refused(now, "ray", amount) is None:
            now = begun(now, "ann", {}, "ray", amount)
            begun_.append(number)
    return begun_, now[0]


@given(st.lists(amounts, max_size=12), st.integers(0, 120), st.integers(0, 120), st.sampled_from(Action))
def test_what_begins_is_within_the_limit_and_what_is_held_would_pass_it(asks, spent, committed, action) -> None:
    before = standing(spent, committed, action=action)
    places, after = begin(asks, before)
    assert after.committed == before.committed + Money.total(asks[place] or ZERO for place in places)
    if action is Action.WARN:
        assert len(places) == len(asks)
        return
    assert not places or after.spent + after.committed <= BUDGET.limit or not any(asks[place] for place in places)
    for place in set(range(len(asks))) - set(places):
        amount = asks[place]
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
    why = refused([before], "ray", Money.of_usd(12))
    assert why and (why.constraint, why.have, why.need, why.permanent) == ("budget", "$5.00", "$12.00", False)
    assert why.message == (
        "budget lab until 2026-11-23: $480.00 of $500.00 spent, $15.00 reserved for what runs, "
        "and this job may cost $12.00"
    )
    more = refused([standing(**dollars)], "ray", Money.of_usd(900))
    assert more and "more than all of it" in more.message
    unknown = refused([standing(**dollars, pool="ray")], "ray", None)
    assert unknown and unknown.message.startswith("budget lab of ray until")
    assert "not known" in unknown.message


def test_a_submission_counts_what_waits_already() -> None:
    full = standing(spent=40, queued=50)
    assert [said for _, said in taken([full], Money(5), 2)] == []
    ((_, said),) = taken([full], Money(5), 3)
    assert said.startswith("budget lab: this may cost $0.000000015;")
    assert len(list(taken([full], None, 1))) == 1
    assert list(taken([replace(full, budget=replace(BUDGET, action=Action.WARN))], None, 1)) == []


CLUSTER = state(cluster(usd="3.60"))
BURST = state(serverless())


def limited(left: str, **fields: object) -> Standing:
    return replace(standing(limit=Money.of_usd(left), **fields), since_ns=None, until_ns=None)


def test_a_pool_whose_budget_is_spent_is_no_place_to_run_and_the_next_best_is_taken() -> None:
    got = decide_all([spec(l4())], CLUSTER, BURST, standings=[limited("0.001", pool="ray")])[0]
    assert (got.verdict, got.chosen and got.chosen.pool) == (Verdict.RUN, "burst")
    assert [(each.pool, each.constraint) for each in got.refusals] == [("ray", "budget")]
    assert got.reason.endswith(
        "; ray can't run it: budget lab of ray: $0.00 of $0.001 spent, and this job may cost $0.01, "
        "more than all of it: raise the limit, or ask for less"
    )
    assert "ray could run it if its budget had $0.01 left" in got.flip


def test_it_is_no_last_resort_either() -> None:
    """Where nothing else has room, a pool beyond its budget is still no place to run."""
    full = state(serverless(max_units=1), warm=[""], busy=[(node(gpus=1), 95.0)])
    got = decide_all([spec(l4())], CLUSTER, full, standings=[limited("0.001", pool="ray")])[0]
    assert (got.verdict, got.chosen and got.chosen.pool) == (Verdict.WAIT, "burst")
    assert not held(got)
    nowhere = decide_all([spec(l4())], CLUSTER, standings=[limited("0.001", pool="ray")])[0]
    assert (nowhere.verdict, nowhere.chosen) == (Verdict.WAIT, None)
    assert nowhere.reason.startswith("held by budget lab of ray: $0.00 of $0.001 spent")
    assert held(nowhere)


def test_a_job_is_placed_where_what_is_left_is_enough_for_it() -> None:
    """Of a budget of everything there may be room for the run in one pool and not for that in a dearer one."""
    warm = state(serverless(usd="0.36"))
    there = decide_all([spec(l4())], CLUSTER, warm, standings=[limited("0.012")])[0]
    assert there.chosen and there.chosen.pool == "ray"
    dearer = decide_all([spec(l4())], state(cluster(usd="36")), warm, standings=[limited("0.012")])[0]
    assert dearer.chosen and dearer.chosen.pool == "burst"
    assert [(each.pool, each.constraint) for each in dearer.refusals] == [("ray", "budget")]


def test_those_who_begin_leave_less_for_those_after_them_of_the_same_budget_alone() -> None:
    jobs = [replace(job(f"j{n}"), spec=spec(l4(0.5)), user=user) for n, user in enumerate(["ann", "ann", "bob", "ann"])]
    durations = {each.id: estimate(each.spec, ()) for each in jobs}
    rules = PlacementRules()
    got = dispatch(jobs, [CLUSTER], durations, NOW, rules, standings=[limited("0.006", user="ann")])
    assert [each.verdict for each in got] == [Verdict.RUN, Verdict.WAIT, Verdict.RUN, Verdict.WAIT]
    assert "reserved for what runs" in got[1].reason
    assert got[3].reason.endswith("(and 1 like it came before)")


def test_a_held_job_is_looked_at_again_soon_and_when_the_budget_begins_anew() -> None:
    soon = replace(limited("0.001"), until_ns=NOW + 2 * NS_PER_S)
    (now,) = decide_all([spec(l4())], CLUSTER, standings=[soon])
    assert now.decide_again_ns == NOW + 2 * NS_PER_S
    (later,) = decide_all([spec(l4())], CLUSTER, standings=[replace(soon, until_ns=NOW + 10**15)])
    assert later.decide_again_ns == NOW + 5 * NS_PER_S


@given(st.lists(specs(), max_size=5), some_pools(), st.integers(0, 10**7), st.sampled_from([None, "p0", "p1"]))
def test_no_placement_passes_a_budget(jobs: list[JobSpec], pools: list[PoolState], left: int, pool: str | None) -> None:
    at = replace(limited("0"), budget=replace(BUDGET, limit=Money(left), pool=pool))
    got = decide_all(jobs, *pools, standings=[at])
    runs = [each.chosen for each in got if each.verdict is Verdict.RUN and each.chosen]
    counted = [quote.p90_full for quote in runs if pool in (None, quote.pool)]
    assert None not in counted
    assert Money.total(each for each in counted if each) <= Money(left)


def test_only_budgets_that_say_so_stop_what_runs() -> None:
    spent = standing(spent=100)
    assert exhausted([spent]) == []
    stopping = replace(spent, budget=replace(BUDGET, stop_running=True))
    assert exhausted([stopping, replace(stopping, spent=Money(99))]) == [stopping]
