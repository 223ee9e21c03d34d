"""Demand is the exact integral of concurrency."""

import gzip
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.demand import demand
from broker.decide.workload import Workload

SHARED = Path(__file__).parents[3] / "shared"
REFEREE = SHARED / "bench" / "referee.py"
number = st.floats(0.0, 5_000.0)
jobs = st.lists(st.tuples(number, st.floats(0.1, 5_000.0), st.sampled_from([0.25, 1.0, 8.0])), min_size=1, max_size=30)


@given(jobs)
def test_each_step_holds_what_the_jobs_overlap_with_it(rows: list[tuple[float, float, float]]) -> None:
    submit, duration, gpus = map(np.array, zip(*rows, strict=True))
    found = demand(Workload.of(submit, duration, gpus), 300.0)
    for step, busy in enumerate(found.gpus):
        begin, end = step * 300.0, (step + 1) * 300.0
        overlap = np.clip(np.minimum(submit + duration, end) - np.maximum(submit, begin), 0.0, None)
        assert busy == pytest.approx((overlap * gpus).sum() / 300.0, abs=1e-8)


@given(jobs, st.floats(0.0, 12_000.0))
def test_what_was_known_then_gives_the_demand_until_then(rows: list[tuple[float, float, float]], now: float) -> None:
    workload = Workload.of(*map(np.array, zip(*rows, strict=True)))
    until = now // 300.0 * 300.0
    before, after = demand(workload.known_at(now), 300.0, until), demand(workload, 300.0, until)
    assert before.gpus == pytest.approx(after.gpus, abs=1e-8)


@given(jobs, number)
def test_what_is_to_come_is_not_known(rows: list[tuple[float, float, float]], now: float) -> None:
    known = Workload.of(*map(np.array, zip(*rows, strict=True))).known_at(now)
    assert (known.submit_s < now).all()
    assert (known.end_s <= now + 1e-9).all()


@pytest.mark.skipif(not REFEREE.exists(), reason="the referee lies beside the project, and is not here")
@pytest.mark.parametrize("name", ["philly-6c71a0", "msitp-05", "msitp-02"])
def test_the_referee_finds_the_same(name: str, tmp_path: Path) -> None:
    path = SHARED / "traces" / f"{name}.csv.gz"
    said = subprocess.run([sys.executable, REFEREE, "demand", path], capture_output=True, text=True, check=True).stdout
    theirs = pd.read_csv(StringIO(said))["gpus_busy"].to_numpy()
    with gzip.open(path, "rt") as file:
        trace = pd.read_csv(file)
    ours = demand(Workload.of(trace["submit_s"], trace["duration_s"], trace["gpus"]), 300.0).gpus
    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (([1.0, 2.0], [1.0], [1.0, 1.0]), "duration_s has 1"),
        (([1.0, np.nan], [1.0, 1.0], [1.0, 1.0]), "row 1, column submit_s"),
        (([1.0], [-1.0], [1.0]), "row 0, column duration_s"),
        (([1.0], [1.0], [np.inf]), "row 0, column gpus"),
    ],
)
def test_wrong_numbers_are_named(columns: tuple[list[float], ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Workload.of(*columns)


def test_no_jobs_are_no_demand() -> None:
    assert len(demand(Workload.of([], [], []), 300.0)) == 0
