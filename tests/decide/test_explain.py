from dataclasses import replace

from hypothesis import given

from broker.decide.explain import explain
from broker.decide.policy import PoolState
from broker.model.jobs import Attempt, AttemptState, JobSpec
from broker.model.money import Money
from broker.model.placement import Verdict
from broker.model.resources import Resources
from tests.decide.placing import NOW, S, cluster, decide, l4, node, serverless, some_pools, spec, specs, state

BUSY = state(cluster(usd="3.60"), busy=[(node(), 95.0)])
BURST = state(serverless())


def test_it_says_what_was_chosen_what_was_not_and_the_difference() -> None:
    got = explain(decide(spec(l4()), BURST, state(cluster(usd="3.60"))))
    assert got.chosen == (
        "ray (1 L4, 1 CPU): starts at once, ends in about 10 s (your est_runtime), adds $0.00, "
        "$0.005 with what is paid anyway"
    )
    assert got.rejected == ("burst: adds $0.024, $0.024 more; starts in 4 s, ends in about 14 s",)
    assert got.difference == Money.of_usd("0.024")
    assert got.actual == ()


def test_refused_pools_are_named_with_their_reasons() -> None:
    got = explain(decide(spec(l4(2)), BURST, BUSY))
    assert got.verdict is Verdict.WAIT
    assert got.rejected == ("burst can't run it: it needs 2 L4; a container has 1 L4",)
    assert got.difference is None


def test_what_was_passed_over_though_it_costs_less_is_said_so() -> None:
    got = explain(decide(spec(l4()), BURST, BUSY))
    assert got.rejected == ("ray: adds $0.00, $0.024 less; starts in 95 s, ends in about 105 s, no room now",)
    assert got.difference == Money.of_usd("-0.024")


def test_what_came_of_it_stands_beside_what_was_expected() -> None:
    placement = decide(spec(l4()), BURST)
    ran = Attempt(
        id="j0-a1",
        job_id="j0",
        number=1,
        pool="burst",
        resources=Resources(),
        state=AttemptState.TIMED_OUT,
        started_ns=NOW,
        ended_ns=NOW + 12 * S,
        reason="too long",
    )
    attempts, cost = [ran, replace(ran, number=2, pool="ray", started_ns=None)], Money.of_usd("0.03")
    got = explain(placement, attempts, cost, 2)
    assert got.actual == (
        "attempt 1 in burst timed out after 12 s (10 s expected): too long",
        "attempt 2 in ray timed out: too long",
        "cost $0.03 so far; $0.024 was expected",
        "2 charges have no known price and are not in it",
    )
    assert "cost $0.03; $0.024 was expected" in explain(placement, attempts, cost, 2, ended=True).actual
    late = explain(placement, attempts, cost, deadline_ns=NOW + 5 * S).actual
    assert "it ended 7 s after its deadline" in late
    assert not any("deadline" in line for line in explain(placement, attempts, cost, deadline_ns=NOW + 12 * S).actual)


def test_an_unknown_price_is_called_unknown() -> None:
    got = explain(decide(spec(l4()), state(serverless(usd=None)), BUSY))
    assert "adds an unknown amount" in got.chosen and "$0.00" not in got.chosen
    assert got.difference is None and "is unknown" in " ".join(got.warnings)


@given(of=specs(), pools=some_pools())
def test_each_other_quote_and_refusal_has_its_sentence(of: JobSpec, pools: list[PoolState]) -> None:
    placement = decide(of, *pools)
    got = explain(placement)
    assert len(got.rejected) == len(placement.others) + len(placement.refusals)
    named = {pool.pool.name for pool in pools}
    assert {sentence.split()[0].rstrip(":") for sentence in (*got.rejected, got.chosen) if sentence} == named
