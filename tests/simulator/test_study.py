"""The functions for programs answer what the commands and the arithmetic by hand do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import broker
import simulator
from broker.decide.plan import Kind
from broker.model.errors import InvalidInput, PriceMissing, UnknownName
from simulator.planning.offers import ways_of_document, ways_of_market

BROKER = str(Path(sys.executable).with_name("broker"))


@pytest.fixture(scope="module")
def jobs() -> pd.DataFrame:
    return simulator.synth("training", days=21, gpus=4, seed=5)


def test_public_names_are_there_and_cost_nothing_to_import() -> None:
    assert {name for name in simulator.__all__ if getattr(simulator, name) is None} == set()
    assert set(simulator.__all__) <= set(dir(simulator))
    said = "import sys, simulator; print([m for m in ('pandas', 'plotly', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30), st.integers(1, 4)), min_size=1, max_size=12),
    st.floats(0.1, 5),
    st.floats(0.1, 5),
)
def test_sizes_cost_what_they_cost_step_by_step(rows: list[tuple[int, int, int]], held: float, bought: float) -> None:
    """Against the plain sum over steps of five minutes, size by size."""
    table = pd.DataFrame([(300 * a, 300 * b, c) for a, b, c in rows], columns=["submit_s", "duration_s", "gpus"])
    busy = np.zeros(len(simulator.describe(table).busy))
    for begin, length, gpus in rows:
        busy[begin : begin + length] += gpus
    found = simulator.sizes(table, held, bought)
    for size, usd in found.table["total_usd"].items():
        expected = 730 * (held * size + bought * np.maximum(busy - size, 0).mean())
        assert usd == pytest.approx(expected)
    assert found.table["total_usd"].min() == found.table.loc[found.best, "total_usd"]


@given(st.floats(0, 4), st.integers(0, 10))
def test_grown_work_is_so_many_times_the_work(factor: float, seed: int) -> None:
    table = simulator.synth("serving", days=1, gpus=2, seed=1)
    more = simulator.grown(table, factor, seed)
    part = factor % 1
    assert len(more) == pytest.approx(factor * len(table), abs=1 + 5 * (len(table) * part * (1 - part)) ** 0.5)
    assert more["submit_s"].is_monotonic_increasing
    assert set(more["duration_s"]) <= set(table["duration_s"])
    pd.testing.assert_frame_equal(simulator.grown(table, 1.0, seed), table)


def test_a_market_is_what_the_plan_takes_without_pools(jobs: pd.DataFrame) -> None:
    ours, theirs = ways_of_document({"pools": simulator.market("H100")}, "test").offers, ways_of_market("H100").offers
    terms = [(each.kind, each.usd_per_gpu_hour, each.node, each.gpu, each.region, each.term_hours) for each in ours]
    assert terms == [
        (each.kind, each.usd_per_gpu_hour, each.node, each.gpu, each.region, each.term_hours) for each in theirs
    ]


@pytest.mark.parametrize("gpu", ["H100", "L4", "A100-80GB"])
def test_serverless_costs_a_plan_what_it_costs_the_breakeven(gpu: str) -> None:
    least = min(row["serverless_usd_per_hour"] for row in broker.breakeven(gpu))
    (offer,) = (each for each in ways_of_market(gpu).offers if each.kind is Kind.SERVERLESS)
    assert offer.usd_per_gpu_hour == pytest.approx(least)
    assert simulator.market(gpu)["serverless"]["usd_per_hour"] == pytest.approx(least)


def test_a_plan_is_that_of_the_command(jobs: pd.DataFrame, tmp_path: Path) -> None:
    pools = {
        "firm": {"kind": "committed", "usd_per_hour": 2.0},
        "held": {"kind": "cluster", "usd_per_hour": 3.0},
        "burst": {"kind": "serverless", "usd_per_hour": 5.0},
    }
    trace, file = tmp_path / "jobs.csv", tmp_path / "pools.yaml"
    jobs.to_csv(trace, index=False)
    file.write_text(json.dumps({"pools": pools}), encoding="utf-8")
    words = ["plan", str(trace), "--pools", str(file), "--step", "3600", "--json"]
    told = json.loads(subprocess.run([BROKER, *words], capture_output=True, check=True).stdout)
    found = simulator.plan(jobs, {"pools": pools})
    assert found.result.cost_usd == pytest.approx(told["cost_usd"], rel=1e-9)
    assert found.bought_below()["bought_below"].to_dict() == pytest.approx(told["bought_below_usd"])
    assert found.holdings()["usd_per_month"].sum() == pytest.approx(found.usd_per_month)
    assert list(found.advice) == told["advice"]


def test_what_is_wrong_is_said_with_its_place(jobs: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"pools\.a\.usd_per_hour"):
        simulator.plan(jobs, {"pools": {"a": {"kind": "cluster", "usd_per_hour": "much"}}})
    with pytest.raises(InvalidInput, match="no column gpus"):
        simulator.describe(jobs.drop(columns="gpus"))
    with pytest.raises(InvalidInput, match="no kind"):
        simulator.synth("trainings")
    with pytest.raises(InvalidInput, match="needed together"):
        simulator.simulate(jobs, held_usd=2.0)
    with pytest.raises(UnknownName, match="did you mean broker"):
        simulator.simulate(jobs, policies=["brokr"])
    with pytest.raises(PriceMissing, match="mars"):
        simulator.market("H100", region="mars")


def test_a_forecast_is_of_the_time_after_the_table(jobs: pd.DataFrame) -> None:
    found = simulator.forecast(jobs, days=2)
    table = found.quantiles()
    assert len(table) == 48
    assert (table.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    pd.testing.assert_frame_equal(simulator.forecast(jobs, days=2).quantiles(), table)


def test_policies_cost_what_the_comparison_says(jobs: pd.DataFrame) -> None:
    found = simulator.simulate(jobs, policies=["broker", "all-serverless", "clairvoyant"], history_days=7)
    table = found.table()
    assert table.loc["clairvoyant", "regret"] == pytest.approx(1.0)
    assert table["regret"].min() >= 1 - 1e-9
    assert table.loc["all-serverless", "on_serverless"] == pytest.approx(1.0)
    in_dollars = simulator.simulate(
        jobs, policies=["broker"], history_days=7, held_usd=2.0, serverless_usd=2.0 / 0.45
    ).table()
    assert in_dollars.loc["broker", "per_month"] == pytest.approx(2 * table.loc["broker", "per_month"])


def test_plans_are_held_against_the_first(jobs: pd.DataFrame) -> None:
    plan = simulator.plan(jobs, {"pools": {"burst": {"kind": "serverless", "usd_per_hour": 5.0}}}, sensitivity=False)
    dear = simulator.plan(jobs, {"pools": {"burst": {"kind": "serverless", "usd_per_hour": 6.0}}}, sensitivity=False)
    table = simulator.compare_plans({"now": plan, "dearer": dear}).table()
    assert table["change"].to_dict() == pytest.approx({"now": 0.0, "dearer": 0.2})
    assert table.loc["now", "serverless"] == pytest.approx(plan.holdings().loc["burst", "gpus"])
    with pytest.raises(ValueError, match="no plan"):
        simulator.compare_plans({})


def test_a_past_adds_up_however_it_is_grouped(jobs: pd.DataFrame) -> None:
    """And a cluster of constant size costs its nodes for the whole time, idle or not."""
    past = simulator.past(jobs, 2.0, 5.0, nodes=3)
    total = past.charges["usd"].sum()
    for by in (["pool"], ["kind"], ["day", "pool", "kind"], ["user"], ["job"]):
        assert sum(row["usd"] for row in past.spend(by)) == pytest.approx(total)
        assert all(row["usd"] == pytest.approx(row["job_usd"] + row["overhead_usd"]) for row in past.spend(by))
    assert past.charges["predicted_usd"].notna().sum() == len(jobs), "each job's expectation once, on its first charge"
    for row in past.spend(["pool", "kind"]):
        assert row["usd"] == pytest.approx(row["job_usd" if row["kind"] == "job" else "overhead_usd"])
        assert row["predicted_usd"] is None
    by_pool = {row["pool"]: row for row in past.spend(["pool"])}
    hours = by_pool["cluster"]["job_usd"] / 2 + by_pool["serverless"]["job_usd"] / 5
    assert hours == pytest.approx((jobs["gpus"] * jobs["duration_s"]).sum() / 3_600, rel=1e-6)
    lasted_h = ((jobs["submit_s"] + jobs["duration_s"]).max() - jobs["submit_s"].min()) / 3_600
    assert by_pool["cluster"]["usd"] >= 3 * 2 * lasted_h * 0.999
    assert all(row["predicted_usd"] > 0 for row in past.spend(["job"]) if row["job"])
    with pytest.raises(UnknownName, match="did you mean user"):
        past.spend(["users"])
    with pytest.raises(InvalidInput, match="no jobs"):
        simulator.past(pd.DataFrame({"time_s": [0, 300], "gpus": [1, 2]}), 2.0, 5.0, nodes=1)
