"""`broker simulate-jobs`: what a user sees."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from broker.model.errors import InvalidInput, UnknownName
from simulator.jobs.command import simulate_jobs

app = Typer()
app.command()(simulate_jobs)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    rows = "".join(f"{60 * row},{300 + row},{1 + row % 3}\n" for row in range(200))
    path.write_text("submit_s,duration_s,gpus\n" + rows)
    return str(path)


def test_rules_are_compared_the_cheapest_first(trace: str) -> None:
    result = CliRunner().invoke(app, [trace], catch_exceptions=False)
    head, *lines = result.stdout.splitlines()
    assert head.split("\t")[:2] == ["rule", "cost"]
    costs = [float(line.split("\t")[1].replace(",", "")) for line in lines]
    assert len(costs) == 6
    assert costs == sorted(costs)


def test_json_has_it_all(trace: str) -> None:
    result = CliRunner().invoke(app, [trace, "--json", "--rule", "all-serverless"], catch_exceptions=False)
    document = json.loads(result.stdout)
    (found,) = document["rules"].values()
    assert document["jobs"] == found["on_serverless"] == 200
    assert found["cluster_gpu_hours"] == 0 < found["serverless_gpu_hours"]


def test_a_wrong_name_and_a_wrong_trace_are_refused(trace: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no-wait"):
        CliRunner().invoke(app, [trace, "--rule", "no-wiat"], catch_exceptions=False)
    series = tmp_path / "series.csv"
    series.write_text("time_s,gpus\n0,1\n300,2\n600,1\n")
    with pytest.raises(InvalidInput, match="needs jobs"):
        CliRunner().invoke(app, [str(series)], catch_exceptions=False)
