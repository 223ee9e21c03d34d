import random
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from broker.decide.duration import estimate, is_prior
from broker.decide.place import place
from broker.decide.policy import PlacementRules, PoolState
from broker.decide.quote import quote
from broker.decide.rest import Health
from broker.model.jobs import JobSpec
from broker.model.money import ZERO, Money
from broker.model.placement import Placement, Quote, Verdict
from broker.model.pools import Capacity, PoolKind, UnitState
from broker.model.resources import Gpu, Resources
from tests.decide.placing import (
    NOW,
    S,
    cluster,
    decide,
    job,
    l4,
    node,
    repriced,
    serverless,
    some_pools,
    spec,
    specs,
    state,
)

FREE = state(cluster())
BUSY = state(cluster(), busy=[(node(), 95.0)])
BURST = state(serverless())


def chosen(placement: Placement) -> Quote:
    assert placement.chosen is not None, placement.reason
    return placement.chosen


def test_idle_capacity_that_is_paid_wins_and_says_why() -> None:
    got = decide(spec(l4()), BURST, FREE)
    assert (got.verdict, chosen(got).pool, chosen(got).marginal) == (Verdict.RUN, "ray", ZERO)
    assert got.reason == (
        "ray: 2 of 2 L4 are idle and already paid, so this run adds $0.00; "
        "burst would add about $0.024 (4 s cold start, 10 s idle tail)"
    )
    assert got.flip == "burst would be used if ray had no room now"


def test_a_full_cluster_sends_a_job_that_may_not_wait_to_serverless() -> None:
    got = decide(spec(l4()), BURST, BUSY)
    assert (got.verdict, chosen(got).pool) == (Verdict.RUN, "burst")
    assert got.reason == (
        "burst: this run adds about $0.024 for 10 s (4 s cold start, 10 s idle tail); "
        "ray has no room for about 95 s, and the job may not wait"
    )
    assert got.flip == "it would wait for ray if it might wait 95 s"


def test_a_job_that_may_wait_waits_for_what_is_paid_and_not_longer() -> None:
    got = decide(spec(l4(), max_wait_s=120), BURST, BUSY)
    assert (got.verdict, chosen(got).pool, got.decide_again_ns) == (Verdict.WAIT, "ray", NOW + 120 * S)
    assert got.reason == (
        "waits up to 2 min for ray, expected to have room in 95 s, where this run adds $0.00; "
        "burst could start it now but would add about $0.024 (4 s cold start, 10 s idle tail)"
    )


def test_the_wait_ends_counted_from_submission() -> None:
    of = spec(l4(), max_wait_s=120)
    got = decide(of, BURST, BUSY, now_ns=NOW + 120 * S)
    assert (got.verdict, chosen(got).pool) == (Verdict.RUN, "burst")
    half = decide(of, BURST, BUSY, now_ns=NOW + 60 * S)
    assert (half.verdict, chosen(half).pool) == (Verdict.RUN, "burst")
    assert decide(of, BURST, BUSY, now_ns=NOW + 20 * S).verdict is Verdict.WAIT


def test_the_owner_says_how_long_a_job_waits_that_does_not_say() -> None:
    rules = PlacementRules(default_max_wait_s=100)
    assert decide(spec(l4()), BURST, BUSY, rules=rules).verdict is Verdict.WAIT
    assert decide(spec(l4(), max_wait_s=0), BURST, BUSY, rules=rules).verdict is Verdict.RUN


def test_a_deadline_cuts_the_wait_short() -> None:
    # Ten seconds expected, twenty at p90, four to start: after 76 s of waiting there is no time for the other pool.
    of = spec(l4(), max_wait_s=1_000, deadline_ns=NOW + 100 * S)
    got = decide(of, BURST, state(cluster(), busy=[(node(), 50.0)]))
    assert (got.verdict, got.decide_again_ns) == (Verdict.WAIT, NOW + 76 * S)
    assert decide(of, BURST, state(cluster(), busy=[(node(), 78.0)])).verdict is Verdict.RUN


def test_without_room_anywhere_it_waits_and_without_any_hope_it_fails() -> None:
    full = decide(spec(l4()), BUSY)
    assert (full.verdict, full.decide_again_ns) == (Verdict.WAIT, NOW + 95 * S)
    assert full.reason == "no pool has room now; ray is expected to in 95 s, and the run adds $0.00"
    down = decide(spec(l4()), replace(FREE, problem="it does not answer"))
    assert (down.verdict, down.chosen) == (Verdict.WAIT, None)
    assert down.reason == "no pool can take it now: ray: it does not answer"
    never = decide(spec(l4(10_000)), FREE, BURST)
    assert (never.verdict, never.chosen) == (Verdict.FAIL, None)
    assert "needs 10,000 L4; a node has 2 L4" in never.reason
    assert never.flip == (
        "burst could run it if it asked for no more than 1 L4; ray could run it if it asked for no more than 2 L4"
    )
    assert decide(spec(l4())).verdict is Verdict.FAIL


def test_an_unknown_price_is_taken_only_when_nothing_priced_can_start() -> None:
    unknown = state(cluster("lab", usd=None))
    assert chosen(decide(spec(l4()), unknown, BURST)).pool == "burst"
    got = decide(spec(l4()), unknown, BUSY)
    assert chosen(got).pool == "lab"
    assert got.reason == (
        "lab: its price is unknown, and nothing with a known price could start now; "
        "ray has no room for about 95 s, and the job may not wait"
    )


def test_ties_go_to_the_earlier_end_then_to_paid_capacity_then_to_the_name() -> None:
    free_burst = state(repriced(BURST, "0").pool)
    assert chosen(decide(spec(l4()), free_burst, BUSY)).pool == "burst"
    instant = state(serverless("a", usd="0", cold_start_s=0.0))
    assert chosen(decide(spec(l4()), instant, FREE)).pool == "ray"
    assert chosen(decide(spec(l4()), state(cluster("b")), state(cluster("a")))).pool == "a"


def test_the_name_settles_what_nothing_else_does() -> None:
    of = spec(l4())
    duration = estimate(of, ())
    options = [option for name in "ba" for option in quote(of, state(cluster(name)), duration, NOW).options]
    for answers in (options, options[::-1]):
        assert chosen(place(job(of), answers, (), NOW, duration, PlacementRules())).pool == "a"


def test_what_ends_earlier_wins_a_tie() -> None:
    slow, fast = state(serverless("a", usd="0", cold_start_s=9.0)), state(serverless("b", usd="0", cold_start_s=1.0))
    assert chosen(decide(spec(l4()), slow, fast)).pool == "b"


def test_a_cheaper_rival_is_told_how_cheap_it_would_have_to_be() -> None:
    cheap, dear = state(serverless("cheap", usd="3.60")), state(serverless("dear", usd="7.20"))
    got = decide(spec(l4()), cheap, dear)
    assert got.flip == "dear would be used below 50% of its price, where this run would add $0.024"
    assert chosen(decide(spec(l4()), cheap, repriced(dear, "0.499"))).pool == "dear"
    assert chosen(decide(spec(l4()), cheap, repriced(dear, "0.501"))).pool == "cheap"


@given(of=specs(), pools=some_pools(), shuffled=st.randoms())
def test_the_order_of_answers_makes_no_difference(of: JobSpec, pools: list[PoolState], shuffled: random.Random) -> None:
    duration = estimate(of, ())
    answers = [quote(of, pool, duration, NOW) for pool in pools]

    def placed() -> Placement:
        options = [option for answer in answers for option in answer.options]
        refusals = [refusal for answer in answers for refusal in answer.refusals]
        return place(job(of), options, refusals, NOW, duration, PlacementRules())

    got = placed()
    shuffled.shuffle(answers)
    assert got == placed()


def test_an_order_of_gpus_is_kept_where_there_is_room() -> None:
    big = state(serverless("big", usd="36", unit=node(gpus=1, model="H100")))
    of = spec(Gpu(model="H100"), l4(), gpu_ordered=True)
    assert chosen(decide(of, big, FREE)).pool == "big"
    assert "with 1 H100" in decide(of, big, FREE).reason
    assert chosen(decide(replace(of, resources=replace(of.resources, gpu_ordered=False)), big, FREE)).pool == "ray"


def test_pools_that_took_a_job_back_are_avoided_for_a_while() -> None:
    avoid = {"j0": {"ray": NOW + 30 * S}}
    assert chosen(decide(spec(l4()), FREE, BURST, avoid=avoid)).pool == "burst"
    alone = decide(spec(l4()), FREE, avoid=avoid)
    assert (alone.verdict, chosen(alone).pool) == (Verdict.RUN, "ray")


def test_a_pool_that_rests_takes_nothing_until_its_rest_is_over() -> None:
    tired = replace(FREE, health=Health(failures=3, rests_until_ns=NOW + 30 * S, why="no GPUs left"))
    elsewhere = decide(spec(l4()), tired, BURST)
    assert chosen(elsewhere).pool == "burst"
    assert "rests for 30 s more: its last 3 attempts did not get going (no GPUs left)" in elsewhere.refusals[0].message
    alone = decide(spec(l4()), tired)
    assert (alone.verdict, alone.decide_again_ns) == (Verdict.WAIT, NOW + 30 * S)
    assert decide(spec(l4()), tired, now_ns=NOW + 30 * S).verdict is Verdict.RUN


def test_what_was_spent_before_counts_against_max_cost() -> None:
    of = spec(l4(), max_cost_usd="0.05")
    assert decide(of, BURST).verdict is Verdict.RUN
    got = decide(of, BURST, spent={"j0": Money.of_usd("0.02")})
    assert got.verdict is Verdict.FAIL and "after $0.02 already spent" in got.reason


@given(of=specs(), pools=some_pools(), rules=st.sampled_from([PlacementRules(), PlacementRules(default_max_wait_s=60)]))
def test_the_order_of_pools_makes_no_difference_and_the_same_is_decided_again(
    of: JobSpec, pools: list[PoolState], rules: PlacementRules
) -> None:
    got = decide(of, *pools, rules=rules)
    assert got == decide(of, *pools, rules=rules)
    assert got == decide(of, *random.Random(1).sample(pools, len(pools)), rules=rules)


@given(of=specs(), pools=some_pools(least=2))
def test_more_choice_never_costs_more(of: JobSpec, pools: list[PoolState]) -> None:
    less = decide(of, *pools[:-1])
    more = decide(of, *pools)
    if less.verdict is Verdict.RUN:
        assert more.verdict is not Verdict.FAIL
        before, now = chosen(less).marginal, chosen(more).marginal
        assert before is None or (now is not None and now <= before)


@given(of=specs(), pools=some_pools(least=2), factor=st.sampled_from(["0", "0.1", "0.9"]))
def test_a_cheaper_price_never_makes_a_pool_lose(of: JobSpec, pools: list[PoolState], factor: str) -> None:
    got = decide(of, *pools)
    if got.verdict is Verdict.RUN:
        winner = chosen(got).pool
        cheaper = [repriced(pool, factor) if pool.pool.name == winner else pool for pool in pools]
        assert chosen(decide(of, *cheaper)).pool == winner


@given(of=specs(), pools=some_pools())
def test_what_is_idle_and_paid_adds_nothing(of: JobSpec, pools: list[PoolState]) -> None:
    got = decide(of, *pools)
    kinds = {pool.pool.name: pool.pool for pool in pools}
    for found in (got.chosen, *got.others):
        pool = kinds[found.pool] if found else None
        if not found or not pool or pool.kind is not PoolKind.CLUSTER or not pool.offers or not pool.cold_start_s:
            continue
        if all(line.what != "boot" for line in found.lines):
            assert found.marginal == ZERO and found.full == Money.total(line.amount for line in found.lines)


@given(of=specs(), pools=some_pools(), wait=st.sampled_from([0.0, 50.0, 1e6]))
def test_nothing_is_told_to_wait_until_its_deadline_is_lost(of: JobSpec, pools: list[PoolState], wait: float) -> None:
    got = decide(of, *pools, rules=PlacementRules(default_max_wait_s=wait))
    duration = estimate(of, ())
    if got.verdict is not Verdict.WAIT or of.deadline_ns is None or is_prior(of, duration):
        return
    assert got.decide_again_ns is not None
    assert got.decide_again_ns + duration.p90_s * S <= of.deadline_ns + 1
    now = [found for found in got.others if found.available_now]
    if now:
        starts = min(found.start_in_s for found in now)
        assert got.decide_again_ns + (starts + duration.p90_s) * S <= of.deadline_ns + 1


@given(of=specs(), pools=some_pools())
def test_reasons_name_the_pool_and_a_number(of: JobSpec, pools: list[PoolState]) -> None:
    got = decide(of, *pools)
    if got.chosen:
        assert got.chosen.pool in got.reason and re.search(r"\d", got.reason)
    assert got.reason and "  " not in got.reason + got.flip


@given(of=specs(), pools=some_pools(), wait=st.sampled_from([0.0, 50.0]))
def test_a_flip_is_true(of: JobSpec, pools: list[PoolState], wait: float) -> None:
    rules = PlacementRules(default_max_wait_s=wait)
    got = decide(of, *pools, rules=rules)
    if found := re.search(r"it would wait for (\w+) if it might wait (\d+) s", got.flip):
        other = decide(replace(of, max_wait_s=float(found[2])), *pools, rules=rules)
        assert (other.verdict, chosen(other).pool) == (Verdict.WAIT, found[1])
    if found := re.search(r"(\w+) would be used below ([\d.e+-]+) % of its price", got.flip):
        factor = f"{float(found[2]) / 100 * 0.98:.12f}"
        other = decide(of, *(repriced(p, factor) if p.pool.name == found[1] else p for p in pools), rules=rules)
        assert chosen(other).pool == found[1]
    if found := re.search(r"(\w+) would be used if (\w+) had no room", got.flip):
        without = [replace(p, problem="no room") if p.pool.name == found[2] else p for p in pools]
        assert chosen(decide(of, *without, rules=rules)).pool == found[1]
    if found := re.search(r"it would run in (\w+) now if it might not wait", got.flip):
        other = decide(replace(of, max_wait_s=0.0), *pools, rules=rules)
        assert (other.verdict, chosen(other).pool) == (Verdict.RUN, found[1])


def test_a_deadline_that_stands_in_the_way_is_named() -> None:
    of = spec(l4(), max_wait_s=1_000, deadline_ns=NOW + 100 * S)
    busy = state(cluster(), busy=[(node(), 79.0)])
    got = decide(of, BURST, busy)
    assert (got.verdict, got.flip) == (Verdict.RUN, "it would wait for ray if its deadline were 3 s later")
    later = decide(replace(of, deadline_ns=NOW + 103 * S), BURST, busy)
    assert (later.verdict, chosen(later).pool) == (Verdict.WAIT, "ray")


def test_a_job_that_says_nothing_waits_as_long_as_what_it_saves_is_worth() -> None:
    """A quarter of its run where that saves all of the price, an eighth where it saves half."""
    hours = spec(l4(), est_runtime_s=7_200.0)
    got = decide(hours, BURST, state(cluster(), busy=[(node(), 1_800.0)]))
    assert (got.verdict, chosen(got).pool, got.decide_again_ns) == (Verdict.WAIT, "ray", NOW + 1_800 * S)
    assert got.reason.startswith(
        "waits up to 30 min for ray (no max_wait is set: on a run of 2 h what it saves is worth so long), "
        "expected to have room in 30 min, where this run adds $0.00; burst could start it now but would add about $7.21"
    )
    late = decide(hours, BURST, state(cluster(), busy=[(node(), 1_801.0)]))
    assert (late.verdict, chosen(late).pool) == (Verdict.RUN, "burst")
    assert "ray has no room for about 30 min, and what that would save on a run of 2 h is worth a wait of 30 min" in (
        late.reason
    )
    dear = state(serverless("half", usd="1.80", max_units=1), busy=[(node(gpus=1), 0.0)], warm=("",))
    for left, verdict in ((800.0, Verdict.WAIT), (1_000.0, Verdict.RUN)):
        half = replace(dear, running=(replace(dear.running[0], remaining_s=left),))
        assert decide(hours, BURST, half).verdict is verdict


def test_the_wait_of_a_job_that_says_nothing_ends_and_short_and_unknown_jobs_have_none() -> None:
    hours = spec(l4(), est_runtime_s=7_200.0)
    busy = state(cluster(), busy=[(node(), 60.0)])
    assert decide(hours, BURST, busy).verdict is Verdict.WAIT
    assert decide(hours, BURST, busy, now_ns=NOW + 1_741 * S).verdict is Verdict.RUN
    assert decide(hours, BURST, busy, rules=PlacementRules(default_max_wait_s=0.0)).verdict is Verdict.RUN
    for short in (spec(l4(), est_runtime_s=299.0), spec(l4(), est_runtime_s=None)):
        got = decide(short, BURST, state(cluster(), busy=[(node(), 5.0)]))
        assert got.verdict is Verdict.RUN and "the job may not wait" in got.reason


@given(of=specs(), pools=some_pools(least=2))
def test_nobody_waits_unasked_for_more_than_a_quarter_of_the_run_or_for_nothing(
    of: JobSpec, pools: list[PoolState]
) -> None:
    got = decide(replace(of, max_wait_s=None), *pools)
    now = [found for found in got.others if found.available_now]
    if got.verdict is Verdict.WAIT and now and got.decide_again_ns is not None:
        assert got.decide_again_ns - NOW <= chosen(got).duration.p50_s / 4 * S + 1
        least = min(found.marginal for found in now if found.marginal is not None)
        saved = chosen(got).marginal
        assert saved is not None and saved < least


def test_a_node_that_boots_is_expected_and_waited_for() -> None:
    """It takes nothing until it is up; it has been booting for thirty of its ninety seconds."""
    boots = UnitState(unit_id="ray-0", total=node(), free=Resources(), ready=False, asked_ns=NOW - 30 * S)
    coming = PoolState(pool=cluster(), capacity=Capacity(as_of_ns=NOW, units=(boots,), max_units=1))
    got = decide(spec(l4(), est_runtime_s=3_600.0), BURST, coming)
    assert (got.verdict, chosen(got).pool, chosen(got).start_in_s) == (Verdict.WAIT, "ray", 60.0)
    assert chosen(decide(spec(l4(), est_runtime_s=200.0), BURST, coming)).pool == "burst"
