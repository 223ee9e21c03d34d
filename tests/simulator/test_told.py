"""What a plan advises, held against the numbers that it was made of."""

import io
from dataclasses import replace

import numpy as np
import pytest

from broker.decide.plan import Class, Kind, Offer, Problem, Scenario
from broker.model.errors import InvalidInput
from simulator.planning.solved import solved
from simulator.planning.told import advice
from simulator.traces import load

HOURS = 48
FIRM = Offer(name="firm", kind=Kind.COMMITTED, usd_per_gpu_hour=1.0, node=8, term_hours=3 * 8_760.0)
DAILY = Offer(name="daily", kind=Kind.HELD, usd_per_gpu_hour=1.5)
BURST = Offer(name="burst", kind=Kind.SERVERLESS, usd_per_gpu_hour=4.0)
STEADY, BUSY_DAY = np.full(HOURS, 8.0), np.repeat([0.0, 6.0], 24)


def problem(gpus: np.ndarray) -> Problem:
    return Problem(
        offers=(FIRM, DAILY, BURST),
        scenarios=(Scenario(gpus=gpus, weight=1.0),),
        step_hours=1.0,
        classes=(Class(name="all"),),
        whole_nodes=True,
    )


def test_a_commitment_says_its_term_what_it_comes_to_and_what_doing_without_it_costs() -> None:
    asked = problem(STEADY)
    found = solved(asked, sensitivity=False)
    assert found.unbound_usd == pytest.approx(8 * HOURS * DAILY.usd_per_gpu_hour)
    said = " ".join(advice(asked, found.plan, {}, found.unbound_usd))
    assert "Commit to 8 GPUs of firm (1 node of 8) for 3 years at $1 an hour, busy 100% of the time." in said
    later = 8 * (3 * 8_760 - HOURS)
    assert f"to pay ${8 * 3 * 8_760:,} in all, ${later:,} of it after the time planned" in said
    assert "Without any commitment the cheapest mix costs $576: +50.0%, $192 more." in said


def test_where_nothing_is_committed_to_nothing_is_said_of_doing_without() -> None:
    asked = problem(BUSY_DAY)
    found = solved(asked, sensitivity=False)
    assert found.unbound_usd is None
    said = " ".join(advice(asked, found.plan, {}, found.unbound_usd))
    assert "Hold 3.0 GPUs on average of daily (between 0 and 6 over time), $216." in said


def test_without_serverless_or_nodes_there_is_no_mix_without_a_commitment() -> None:
    assert solved(replace(problem(STEADY), offers=(FIRM,)), sensitivity=False).unbound_usd is None


def test_a_trace_that_nobody_pipes_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(InvalidInput, match="broker trace synth"):
        load("-")
