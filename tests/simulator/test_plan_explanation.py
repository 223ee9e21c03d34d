"""What a plan advises, held against the numbers that it was made of."""

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.plan import Class, Kind, Offer, Problem, Scenario
from broker.model.errors import InvalidInput
from simulator.planning.explanation import advice, lasting_hours
from simulator.planning.output import document, print_plan
from simulator.planning.solution import solution
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
    found = solution(asked, sensitivity=False)
    assert found.unbound_usd == pytest.approx(8 * HOURS * DAILY.usd_per_gpu_hour)
    said = " ".join(advice(asked, found.plan, {}, found.unbound_usd))
    assert "Commit to 8 GPUs of firm (1 node of 8) for 3 years at $1 an hour, busy 100% of the time." in said
    later = 8 * (3 * 8_760 - HOURS)
    assert f"to pay ${8 * 3 * 8_760:,} in all, ${later:,} of it after the time planned" in said
    assert "Without any commitment the cheapest mix costs $8,760 a month: +50.0%, $2,920 more." in said
    # 4 dollars an hour are saved and 8 are owed: 24 months of savings pay for the last 12 of 36
    assert "Signing pays only if demand like this lasts 24 of 36 months" in said


@given(st.lists(st.tuples(st.floats(0.1, 99.0), st.floats(1.0, 999.0)), min_size=1, max_size=4), st.floats(0.01, 50.0))
def test_what_commitments_save_while_demand_lasts_pays_for_what_they_cost_after_it(
    owed: list[tuple[float, float]], saved_per_hour: float
) -> None:
    until_h = lasting_hours(owed, saved_per_hour)
    after = sum(usd * max(term_h - until_h, 0.0) for usd, term_h in owed)
    assert saved_per_hour * until_h == pytest.approx(after)


def test_on_a_terminal_what_it_costs_comes_first_and_other_ways_to_buy_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    asked = problem(STEADY)
    print_plan(document(asked, solution(asked, sensitivity=False), "as it was", ""))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0].startswith("The cheapest mix costs $5,840 a month, ")
    assert [line.split("  ")[0] for line in lines if "for the peak" in line][-2:] == [
        "firm for the peak",
        "daily for the peak",
    ]
    assert lines[-1].split()[-5:] == ["$1,536", "4.0", "times", "as", "much"]


def test_where_nothing_is_committed_to_nothing_is_said_of_doing_without() -> None:
    asked = problem(BUSY_DAY)
    found = solution(asked, sensitivity=False)
    assert found.unbound_usd is None
    said = " ".join(advice(asked, found.plan, {}, found.unbound_usd))
    assert "Hold 3.0 GPUs on average of daily (between 0 and 6 over time), $3,285 a month." in said


def test_without_serverless_or_nodes_there_is_no_mix_without_a_commitment() -> None:
    assert solution(replace(problem(STEADY), offers=(FIRM,)), sensitivity=False).unbound_usd is None


def test_a_trace_that_nobody_pipes_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(InvalidInput, match="broker trace synth"):
        load("-")
