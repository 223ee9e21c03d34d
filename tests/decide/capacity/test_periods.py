"""Sizes for whole days follow the jobs that run, the days before and the prices."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import targets
from broker.decide.demand import Demand, demand
from broker.decide.market import SCENARIOS, Market
from broker.decide.workload import Workload

TRACES = Path(__file__).parents[4] / "shared" / "traces"
DAY = 86_400.0
MARKET = SCENARIOS["day-ahead"]


def _ratio(history: Workload | Demand, market: Market = MARKET) -> float:
    busy = history if isinstance(history, Demand) else demand(history, market.step_s)
    return fluid.cost(busy, market, targets(history, market)).total / clairvoyant.optimum(busy, market)


def _days(levels: list[float]) -> Demand:
    """A level a day."""
    return Demand(step_s=300.0, gpus=np.repeat(np.array(levels, float), 288))


def test_what_runs_long_is_held_from_the_next_day_on() -> None:
    """Jobs that last two weeks come one a day at noon: at midnight all that run go on, and half of one more comes."""
    submit = np.arange(60) * DAY + DAY / 2
    jobs = Workload.of(submit, np.full(60, 14 * DAY), np.full(60, 8))
    assert _ratio(jobs) < 1.03


def test_working_days_and_weekends_are_told_apart() -> None:
    week = [40.0] * 5 + [0.0] * 2
    assert _ratio(_days(week * 12)) < 1.10
    held = targets(_days(week * 12), MARKET).cluster_gpus[::288]
    assert held[-7:-2].min() > held[-2:].max()


def test_sizes_follow_prices() -> None:
    jobs = Workload.of(np.arange(0, 40 * DAY, 3_000.0), np.full(1_152, 40_000.0), np.ones(1_152))
    held = [
        targets(jobs, Market(boot=0, resize_every=288, serverless=price)).cluster_gpus.sum()
        for price in (1.1, 2.2, 9.0)
    ]
    assert held == sorted(held) and held[0] < held[-1]


def test_whole_nodes_are_held_for_whole_periods() -> None:
    jobs = Workload.of(np.arange(0, 9 * DAY, 3_000.0), np.full(260, 40_000.0), np.ones(260))
    held = targets(jobs, Market(boot=0, resize_every=288, node=8)).cluster_gpus
    assert not (held % 8).any() and held.any()
    assert not (np.flatnonzero(np.diff(held)) + 1 - 288).astype(int).__mod__(288).any()


@pytest.mark.skipif(not TRACES.exists(), reason="recorded workloads lie beside the project, and are not here")
def test_recorded_days_cost_less_than_by_the_level_at_midnight() -> None:
    ratios, midnight = [], []
    for name in ("philly-b436b2", "msitp-02", "msitp-06", "msitp-09"):
        with gzip.open(TRACES / f"{name}.csv.gz", "rt") as file:
            rows = pd.read_csv(file)
        jobs = Workload.of(rows["submit_s"], rows["duration_s"], rows["gpus"])
        busy = demand(jobs, 300.0)
        days = np.arange(-(-len(busy) // 288)) * DAY
        level = [jobs.gpus[(jobs.submit_s < day) & (jobs.end_s > day)].sum() for day in days]
        simple = np.repeat(np.round(level), 288)[: len(busy)]
        best = clairvoyant.optimum(busy, MARKET)
        ours = targets(jobs, MARKET)
        ratios.append(fluid.cost(busy, MARKET, ours).total / best)
        other = type(ours)(cluster_gpus=simple, committed_gpus=np.zeros(len(busy)))
        midnight.append(fluid.cost(busy, MARKET, other).total / best)
    assert max(ratios) < 1.18
    assert np.mean(ratios) - 1 < 0.75 * (np.mean(midnight) - 1)
