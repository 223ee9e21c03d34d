"""Why a job waits is stored when that changes; its numbers alone are not worth a row in each round."""

from dataclasses import replace

import pytest

from broker.decide.budgets import BUDGET
from broker.model.money import NS_PER_S
from broker.model.placement import Placement, Refusal, Verdict
from broker.run.attempts.waits import AGAIN_S, Waits
from tests.decide.placing import NOW, cluster, decide, l4, node, serverless, spec, state

SPEC = spec(l4(2), est_runtime_s=60.0)
WAITS = decide(SPEC, state(cluster(), busy=[(node(), 30.0)]))
LATER = round((AGAIN_S - 1) * NS_PER_S)


def told(*placements: Placement) -> Waits:
    waits = Waits()
    waits.stored(placements)
    return waits


def test_other_numbers_are_news_after_a_while_only() -> None:
    assert WAITS.verdict is Verdict.WAIT and WAITS.chosen is not None
    later = replace(WAITS, at_ns=NOW + LATER, reason="expected in 29 s (and 7 like it came before)")
    assert Waits().news([WAITS]) == [WAITS]
    assert told(WAITS).news([later]) == []
    much_later = replace(later, at_ns=NOW + round(AGAIN_S * NS_PER_S))
    assert told(WAITS).news([much_later, replace(later, job_id="other")]) == [
        much_later,
        replace(later, job_id="other"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        replace(WAITS, verdict=Verdict.RUN),
        decide(SPEC, state(cluster("another"), busy=[(node(), 30.0)])),
        decide(
            SPEC, state(cluster(), busy=[(node(), 30.0)]), state(serverless(unit=node(), max_units=1), problem="gone")
        ),
        replace(WAITS, refusals=(Refusal(pool="", constraint=BUDGET, message="spent", permanent=False),)),
    ],
    ids=["it runs", "another pool", "a pool more", "a budget"],
)
def test_another_cause_is_news_at_once(other: Placement) -> None:
    assert told(WAITS).news([other]) == [other]
    assert told(other).news([replace(WAITS, at_ns=NOW + 1)]) != []


def test_what_holds_a_job_is_always_told() -> None:
    """Its reason is the job's, and both are to say the same."""
    holds = (Refusal(pool="", constraint=BUDGET, message="spent", permanent=False),)
    held = replace(WAITS, chosen=None, others=(), refusals=holds)
    assert told(held).news([held]) == [held]


def test_a_job_that_is_tried_again_tells_anew_why_it_waits() -> None:
    waits = told(WAITS)
    waits.stored([replace(WAITS, verdict=Verdict.RUN)])
    assert waits.news([WAITS]) == [WAITS]
