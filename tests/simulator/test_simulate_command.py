"""`broker simulate` as people and programs call it; its files are the referee's input."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from broker.decide.market import SCENARIOS
from tests.command_line import broker
from tests.simulator.refereeing import needs_referee, referee


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    submit = np.sort(rng.uniform(0, 30 * 86_400.0, 2_000))
    table = pd.DataFrame({"submit_s": submit, "duration_s": np.exp(rng.normal(8, 1.5, 2_000)), "gpus": 1})
    path = tmp_path_factory.mktemp("traces") / "jobs.csv.gz"
    table.to_csv(path, index=False)
    return path


@needs_referee
def test_decisions_cost_what_the_referee_says(trace: Path, tmp_path: Path) -> None:
    words = ["simulate", str(trace), "--decisions", str(tmp_path), "--json", "--policy", "broker", "--policy", "cackle"]
    for scenario in SCENARIOS:
        words += ["--scenario", scenario]
    said = broker(*words)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)["scenarios"]
    busy = referee().demand(pd.read_csv(trace), 300.0)
    for scenario in SCENARIOS:
        for policy in ("broker", "cackle"):
            rows = pd.read_csv(tmp_path / scenario / f"{policy}.csv")
            theirs = referee().score(
                busy,
                referee().SCENARIOS[scenario],
                rows["cluster_gpus"].to_numpy(),
                rows["committed_gpus"].to_numpy(),
            )
            assert found[scenario]["policies"][policy]["total"] == pytest.approx(theirs["cost"], rel=1e-9)
            assert found[scenario]["policies"][policy]["ratio"] == pytest.approx(theirs["ratio"], rel=1e-9)


def test_one_scenario_writes_straight_into_the_folder(trace: Path, tmp_path: Path) -> None:
    said = broker("simulate", str(trace), "--decisions", str(tmp_path / "new"), "--policy", "autoscaler")
    assert said.returncode == 0, said.stderr
    assert "reactive autoscaler" in said.stdout
    assert list(pd.read_csv(tmp_path / "new" / "autoscaler.csv").columns) == ["step", "cluster_gpus", "committed_gpus"]


def test_standard_input_is_read(trace: Path) -> None:
    with gzip.open(trace, "rt") as file:
        said = broker("simulate", "-", "--policy", "all-serverless", "--json", "--usd", "2", stdin=file.read())
    assert "in cluster GPU-hours" in said.stderr
    assert json.loads(said.stdout)["scenarios"]["elastic"]["policies"]["all-serverless"]["ratio"] > 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--policy", "cakle"), "did you mean cackle?"),
        (("--scenario", "elastik"), "did you mean elastic?"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_what_does_not_exist_is_named(trace: Path, words: tuple[str, ...], complaint: str) -> None:
    said = broker("simulate", str(trace), *words)
    assert said.returncode == 2
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty: its first line names the columns"),
        ("submit_s,duration_s,gpus\n", "there are no rows"),
        ("submit,duration\n1,2\n", "no column submit_s, duration_s, gpus"),
        ("submit_s,duration_s,gpus\n0,5,1\n1,x,1\n", ":3: duration_s: 'x'"),
        ("submit_s,duration_s,gpus\n0,5,-1\n", ":2: gpus: '-1'"),
        ("submit_s,duration_s,gpus\n0,5,1\n", "the first 14 are history"),
        ("time_s,gpus\n0,5\n300,\n", ":3: gpus: 'nan'"),
    ],
)
def test_a_bad_trace_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    said = broker("simulate", str(path))
    assert said.returncode == 2
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr


def test_a_file_that_is_not_there_is_named() -> None:
    said = broker("simulate", "nowhere.csv")
    assert said.returncode == 2
    assert "nowhere.csv" in said.stderr
