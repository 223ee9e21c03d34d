import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from broker.decide.duration import estimate
from broker.decide.limits import ENDING_S, STARTING_S, affordable_s
from broker.decide.policy import PlacementRules, PoolState
from broker.decide.quote import Answer, quote
from broker.model.environment import environment_key
from broker.model.jobs import JobSpec
from broker.model.money import ZERO, Money
from broker.model.offers import BillingRule, Tier
from broker.model.placement import Quote, Verdict
from broker.model.pools import Capability, Pool
from broker.model.resources import Gpu
from tests.decide.placing import NOW, S, cluster, decide_all, l4, node, offer, serverless, spec, state

SCALES = frozenset({Capability.SCALE, Capability.GANG})


def ask(of: JobSpec, pool: PoolState, rules: PlacementRules | None = None) -> Answer:
    return quote(of, pool, estimate(of, ()), NOW, rules)


def the_quote(of: JobSpec, pool: PoolState, rules: PlacementRules | None = None) -> Quote:
    (option,) = ask(of, pool, rules).options
    return option.quote


def lines(found: Quote) -> dict[str, str]:
    return {f"{line.what}{' (sunk)' if line.sunk else ''}": str(line.amount) for line in found.lines}


def test_an_idle_node_adds_nothing_and_shows_its_share() -> None:
    found = the_quote(spec(l4()), state(cluster(usd="3.60")))
    assert (found.marginal, found.start_in_s, found.available_now) == (ZERO, 0.0, True)
    # Half of the node's GPUs, ten seconds, at a tenth of a cent a second.
    assert lines(found) == {"execution (sunk)": "$0.005"}
    assert found.full == Money.of_usd("0.005") and found.p90_full == Money.of_usd("0.01")


def test_a_full_node_has_room_when_what_runs_is_thought_to_end() -> None:
    pool = cluster()
    half, whole = node(cpus=1, gib=1, gpus=1), node(cpus=1, gib=1, gpus=2)
    assert the_quote(spec(l4()), state(pool, busy=[(half, 50.0)])).start_in_s == 0.0
    assert the_quote(spec(l4(2)), state(pool, busy=[(half, 50.0)])).start_in_s == 50.0
    later = the_quote(spec(l4(2)), state(pool, busy=[(half, 50.0), (half, 70.0)]))
    assert (later.start_in_s, later.available_now, later.marginal) == (70.0, False, ZERO)
    assert the_quote(spec(l4()), state(pool, busy=[(whole, 0.0)])).available_now is False


def test_what_was_launched_counts_though_the_executor_does_not_show_it_yet() -> None:
    pool = state(cluster(), busy=[(node(cpus=1, gib=1, gpus=2), 30.0)])
    assert pool.capacity is not None
    unaware = replace(pool.capacity, units=tuple(replace(unit, free=unit.total) for unit in pool.capacity.units))
    assert the_quote(spec(l4()), replace(pool, capacity=unaware)).start_in_s == 30.0
    burst = state(serverless(max_units=1), busy=())
    taken = replace(burst, running=(*state(cluster(), busy=[(node(cpus=1, gib=1, gpus=1), 30.0)]).running,))
    assert the_quote(spec(l4()), taken).available_now is False


def test_a_node_that_must_boot_is_paid_from_then_on_and_offered_beside_the_wait() -> None:
    pool = cluster(usd="3.60", max_units=2, capabilities=SCALES, cold_start_s=100.0)
    busy = state(pool, units=1, busy=[(node(), 500.0)])
    boot, wait = (option.quote for option in ask(spec(l4()), busy).options)
    assert lines(boot) == {"boot": "$0.10", "execution": "$0.01"}
    assert (boot.start_in_s, boot.available_now, boot.marginal) == (100.0, True, Money.of_usd("0.11"))
    assert (wait.start_in_s, wait.available_now, wait.marginal) == (500.0, False, ZERO)


def test_a_minimum_is_billed_and_a_commitment_is_paid_anyway() -> None:
    rule = BillingRule(granularity_s=60, minimum_s=600)
    pool = cluster(offers=(offer("3.60", billing=rule),), capabilities=SCALES, cold_start_s=100.0)
    found = the_quote(spec(l4()), state(pool, units=0))
    assert lines(found) == {"boot": "$0.10", "execution": "$0.01", "rounding": "$0.49"}
    committed = replace(pool, offers=(offer("3.60", tier=Tier.COMMIT_1Y),))
    assert the_quote(spec(l4()), state(committed, units=0)).marginal == ZERO


def test_a_gang_takes_distinct_nodes_and_boots_those_that_are_missing() -> None:
    pool = cluster(usd="3.60", max_units=3, capabilities=SCALES, cold_start_s=100.0)
    assert the_quote(spec(l4(2), num_nodes=2), state(pool, units=2)).start_in_s == 0.0
    found = the_quote(spec(l4(2), num_nodes=2), state(pool, units=1))
    assert lines(found) == {"execution (sunk)": "$0.01", "boot": "$0.10", "execution": "$0.01"}
    fixed = replace(pool, capabilities=frozenset({Capability.GANG}), max_units=2)
    assert the_quote(spec(l4(2), num_nodes=2), state(fixed, busy=[(node(), 40.0)])).start_in_s == 40.0


def test_a_cold_container_pays_cold_start_and_idle_tail() -> None:
    found = the_quote(spec(l4()), state(serverless()))
    assert lines(found) == {"cold_start": "$0.004", "execution": "$0.01", "idle_tail": "$0.01"}
    assert found.marginal == found.full == Money.of_usd("0.024")
    assert (found.start_in_s, found.end_in_s, found.p90_full) == (4.0, 14.0, Money.of_usd("0.034"))


def test_a_cluster_that_is_made_for_a_job_brings_its_head() -> None:
    bare = serverless(scaledown_window_s=0.0)
    brings = replace(bare, capabilities=frozenset({Capability.HEAD}))
    paid = replace(brings, head_offers=(offer("0.36", gpu="", gpus=0),))
    without, found = the_quote(spec(l4()), state(bare)), the_quote(spec(l4()), state(paid))
    assert lines(found) == lines(without) | {"head": "$0.0014"}, "4 s of cold start and 10 s, for a head of $0.36"
    assert found.marginal is not None and without.marginal is not None
    assert found.marginal - without.marginal == Money.of_usd("0.0014")
    assert [one for one in the_quote(spec(l4()), state(brings)).warnings if "head" in one]


def test_a_warm_container_of_the_same_environment_has_no_cold_start() -> None:
    of = spec(l4(), requirements=("numpy",))
    found = the_quote(of, state(serverless(), warm=[environment_key(of)]))
    assert lines(found) == {"execution": "$0.01", "idle_tail": "$0.01"} and found.start_in_s == 0.0
    other = the_quote(of, state(serverless(), warm=[environment_key(spec(l4()))]))
    assert "cold_start" in lines(other)


def test_serverless_is_full_at_its_limit_and_waits_out_a_backoff() -> None:
    pool = serverless(max_units=1)
    of = spec(l4())
    full = the_quote(of, state(pool, units=1, warm=[environment_key(of)], busy=[(pool.unit, 25.0)]))
    assert (full.available_now, full.start_in_s) == (False, 25.0)
    backing_off = the_quote(of, state(pool, backoff_until_ns=NOW + 60 * S))
    assert (backing_off.available_now, backing_off.start_in_s) == (False, 64.0)


def test_no_more_containers_are_started_than_the_machine_has_gpus_for() -> None:
    pool = serverless(unit=node(gpus=1), devices=(3,))
    free, taken = state(pool), state(pool, warm=["other"], busy=[(node(gpus=1), 50.0)])
    assert the_quote(spec(l4()), free).available_now
    assert the_quote(spec(l4()), taken).start_in_s > 50.0
    assert the_quote(spec(cpus=1), taken).available_now


def test_an_idle_container_of_another_environment_gives_way_at_once_where_the_pool_does_that() -> None:
    pool = serverless(unit=node(gpus=1), max_units=1)
    waits, at_once = state(pool, warm=["other"]), state(pool, warm=["other"], replaces_idle=True)
    assert (the_quote(spec(l4()), waits).available_now, the_quote(spec(l4()), waits).start_in_s) == (False, 14.0)
    found = the_quote(spec(l4()), at_once)
    assert (found.available_now, found.start_in_s) == (True, 4.0) and "cold_start" in lines(found)
    busy = state(pool, warm=["other"], replaces_idle=True, busy=[(pool.unit, 25.0)])
    assert (the_quote(spec(l4()), busy).available_now, the_quote(spec(l4()), busy).start_in_s) == (False, 29.0)


def test_a_round_gives_a_place_to_one_job_only() -> None:
    pool = serverless(unit=node(gpus=1), max_units=1)
    placements = decide_all([spec(l4()), spec(l4())], state(pool, warm=["other"], replaces_idle=True))
    assert [found.verdict for found in placements] == [Verdict.RUN, Verdict.WAIT]


def test_parts_of_a_container_are_billed_apart() -> None:
    priced = offer(
        "3.60", tier=Tier.SERVERLESS, gpus=1, usd_per_cpu_hour=Decimal("0.36"), usd_per_gib_hour=Decimal("0.036")
    )
    found = the_quote(spec(l4(), cpus=2), state(serverless(offers=(priced,), cold_start_s=0.0, scaledown_window_s=0.0)))
    # Ten seconds of a GPU at 0.1 cents, two CPUs at 0.01 cents and 4 GiB at 0.001 cents a second.
    assert found.marginal == Money.of_usd("0.0124")


@pytest.mark.parametrize("pool", [cluster(usd=None), serverless(usd=None)])
def test_an_unknown_price_is_unknown_and_never_zero(pool: Pool) -> None:
    found = the_quote(spec(l4()), state(pool))
    assert (found.marginal, found.full, found.p90_full, found.lines) == (None, None, None, ())
    assert any("unknown" in warning for warning in found.warnings)


def test_work_that_is_held_back_has_its_price_and_is_no_cost() -> None:
    found = the_quote(spec(l4(2)), state(cluster(usd="3.60")), PlacementRules(value_per_gpu_hour=Decimal("1.80")))
    assert lines(found) == {"execution (sunk)": "$0.01", "held_back_work": "$0.01"}
    assert found.marginal == Money.of_usd("0.01") and found.full == Money.of_usd("0.01")


def test_warnings_say_what_to_doubt() -> None:
    pool = cluster(emulated=True, offers=(offer(valid_from=date(2026, 1, 1)),))
    of = spec(l4(), est_runtime_s=None)
    found = the_quote(of, state(pool), PlacementRules(stale_price_days=90))
    assert found.emulated
    assert [part for part in ("days old", "emulated", "no history") if part in " ".join(found.warnings)] == [
        "days old",
        "emulated",
        "no history",
    ]
    assert the_quote(spec(), state(cluster())).warnings == ()


@pytest.mark.parametrize(
    ("of", "pool", "words"),
    [
        (
            spec(l4(), max_cost_usd="0.02"),
            state(serverless()),
            r"to \$0.034 \(for 20 s, p90\), over max_cost \$0.02",
        ),
        (spec(l4(), max_cost_usd="5"), state(serverless(usd=None)), "price is unknown, so max_cost"),
        (spec(l4(), max_hourly_cost="3"), state(serverless()), r"costs \$3.60 an hour, over max_hourly_cost \$3.00"),
        (spec(l4(), max_hourly_cost="3"), state(cluster(usd=None)), "price is unknown, so max_hourly_cost"),
        (spec(l4(), deadline_ns=NOW + 15 * S), state(cluster()), r"the deadline is in 15 s; .* may take 20 s"),
        (spec(l4(), deadline_ns=NOW - 15 * S, est_runtime_s=None), state(cluster()), "past for 15 s"),
    ],
)
def test_limits_refuse_with_their_numbers(of: JobSpec, pool: PoolState, words: str) -> None:
    answer = ask(of, pool)
    assert answer.options == ()
    (refusal,) = answer.refusals
    assert refusal.permanent
    assert re.search(words, refusal.message), refusal.message


def test_a_half_of_a_node_costs_half_of_it_an_hour() -> None:
    assert ask(spec(l4(), max_hourly_cost="0.50"), state(cluster(usd="1.00"))).options
    assert not ask(spec(l4(2), max_hourly_cost="0.50"), state(cluster(usd="1.00"))).options


def test_a_deadline_that_only_the_queue_breaks_may_still_be_met() -> None:
    (refusal,) = ask(spec(l4(2), deadline_ns=NOW + 40 * S), state(cluster(), busy=[(node(), 30.0)])).refusals
    assert (refusal.constraint, refusal.permanent) == ("deadline", False)


def test_a_job_of_unknown_length_is_not_refused_for_a_deadline_ahead() -> None:
    assert ask(spec(l4(), est_runtime_s=None, deadline_ns=NOW + 60 * S), state(cluster())).options


@pytest.mark.parametrize(
    "pool",
    [
        state(cluster(), problem="it does not answer"),
        replace(state(cluster()), capacity=None),
        state(cluster(), units=0),
    ],
)
def test_a_pool_that_is_out_of_use_is_refused_for_now(pool: PoolState) -> None:
    (refusal,) = ask(spec(l4()), pool).refusals
    assert not refusal.permanent


def test_a_pool_whose_executor_is_missing_is_waited_for_and_not_called_unable() -> None:
    missing = state(cluster(capabilities=frozenset()), problem="ray is not installed")
    (refusal,) = ask(spec(runtime="ray"), missing).refusals
    assert (refusal.permanent, refusal.message) == (False, "ray is not installed")
    (never,) = ask(spec(l4(9), runtime="ray", pools_denied=("ray",)), missing).refusals
    assert never.permanent and never.constraint == "pools"


def test_any_model_is_quoted_for_each_that_there_is() -> None:
    both = replace(serverless(), gpu_models=("L4", "H100"), offers=(offer("2", tier=Tier.SERVERLESS, gpus=1),))
    found = ask(spec(Gpu(model="")), state(both)).options
    assert [option.quote.resources.gpu_model for option in found] == ["L4", "H100"]


@pytest.mark.parametrize(("pool", "start_s"), [(state(serverless()), 0.0), (state(cluster(usd="3.60")), STARTING_S)])
def test_a_run_may_last_as_long_as_its_money(pool: PoolState, start_s: float) -> None:
    unlimited = the_quote(spec(l4()), pool)
    assert unlimited.affordable_s is None
    found = the_quote(spec(l4(), max_cost_usd="0.50"), pool)
    assert found.affordable_s is not None
    longer = spec(l4(), max_cost_usd="10", est_runtime_s=found.affordable_s + ENDING_S + start_s)
    full = the_quote(longer, pool).full
    assert full is not None
    assert full.nanodollars == pytest.approx(Money.of_usd("0.50").nanodollars, abs=10)


def test_a_run_is_told_to_end_before_its_money_is_spent_but_not_before_its_p90() -> None:
    made = the_quote(spec(l4(), max_cost_usd="0.50"), state(serverless()))
    p90_s, hourly = made.duration.p90_s, Money.of_usd("3.60")
    fixed_s = 14  # cold start and tail
    for spare_s, expected_s in ((100.0, p90_s + 100 - ENDING_S), (1.0, p90_s), (-2.0, p90_s - 2)):
        of = spec(l4(), max_cost_usd=str((p90_s + fixed_s + spare_s) / 1000))
        assert affordable_s(of, made, hourly, ZERO) == pytest.approx(expected_s)


def test_money_spent_before_shortens_a_run() -> None:
    of = spec(l4(), max_cost_usd="0.50")
    made = the_quote(of, state(serverless()))
    hourly = Money.of_usd("3.60")
    whole = affordable_s(of, made, hourly, ZERO)
    assert whole is not None
    assert affordable_s(of, made, hourly, Money.of_usd("0.10")) == pytest.approx(whole - 100)
    assert affordable_s(of, made, hourly, Money.of_usd("0.60")) == 0.0
