"""`broker simulate-jobs`: what a user sees."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from broker.model.errors import InvalidInput, UnknownName
from simulator.simulate_jobs_command import simulate_jobs

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
    assert head.split("\t")[:2] == ["rule", "cost, GPU-hours of the cluster"]
    cells = [line.split("\t") for line in lines]
    assert len(cells) == 12
    for marked in (False, True):
        costs = [float(cell[1].replace(",", "")) for cell in cells if cell[0].endswith("*") == marked]
        assert costs == sorted(costs)


def test_json_has_it_all(trace: str) -> None:
    result = CliRunner().invoke(app, [trace, "--json", "--rule", "all-serverless"], catch_exceptions=False)
    document = json.loads(result.stdout)
    (found,) = document["rules"].values()
    assert document["jobs"] == found["on_serverless"] == 200
    assert found["cluster_gpu_hours"] == 0 < found["serverless_gpu_hours"]
    assert found["cost"] == pytest.approx(sum(found["parts"].values()))
    assert sum(each["jobs"] for each in found["waits"]["histogram"]) == 200
    assert document["terms"]["node_mtbf_s"] is None


def test_spot_failures_and_offers_of_the_price_book(trace: str, tmp_path: Path) -> None:
    spot = tmp_path / "spot.csv"
    spot.write_text("time_s,available\n" + "".join(f"{600 * step},{step % 3}\n" for step in range(40)))
    words = [trace, "--json", "--rule", "spot", "--spot-trace", str(spot), "--checkpoint", "60", "--failures", "5"]
    offers = [
        *("--node-offer", "aws/ec2/p5.48xlarge/us-east-1/on_demand"),
        *("--spot-offer", "aws/ec2/p5.48xlarge/us-east-2/spot"),
        *("--serverless-offer", "modal/functions/h100/auto/serverless"),
    ]
    result = CliRunner().invoke(app, [*words, *offers], catch_exceptions=False)
    document = json.loads(result.stdout)
    (found,) = document["rules"].values()
    assert found["interruptions"] > 0
    assert 0 < found["lost_gpu_hours"] <= found["interruptions"] * 3 * 60 / 3600
    assert document["terms"]["unit"] == "US dollars"
    assert document["terms"]["node_minimum_s"] == 60
    assert found["parts"]["spot"] == pytest.approx(found["spot_gpu_hours"] * document["terms"]["spot"])


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("0,1\n0,2\n", "does not come after"),
        ("0,1\n1,-2\n", "at least 0"),
        ("0,0\n9,0\n", "never was a node"),
        ("", "no rows"),
    ],
)
def test_bad_records_of_spot_nodes_are_refused_with_the_place(
    rows: str, named: str, trace: str, tmp_path: Path
) -> None:
    spot = tmp_path / "spot.csv"
    spot.write_text("time_s,available\n" + rows)
    with pytest.raises(InvalidInput, match=named) as caught:
        CliRunner().invoke(app, [trace, "--spot-trace", str(spot)], catch_exceptions=False)
    assert "spot.csv" in str(caught.value)


@pytest.mark.parametrize("rows", ["", "0,nan,1\n", "0,-5,1\n", "x,5,1\n"])
def test_bad_traces_are_refused_with_the_place(rows: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("submit_s,duration_s,gpus\n" + rows)
    with pytest.raises(InvalidInput, match=r"bad\.csv"):
        CliRunner().invoke(app, [str(bad)], catch_exceptions=False)


def test_an_unsorted_trace_and_one_of_one_job_are_played(tmp_path: Path) -> None:
    for rows in ("900,60,1\n0,60,2\n", "5,60,1\n"):
        path = tmp_path / "some.csv"
        path.write_text("submit_s,duration_s,gpus\n" + rows)
        result = CliRunner().invoke(app, [str(path), "--json"], catch_exceptions=False)
        assert json.loads(result.stdout)["jobs"] == rows.count("\n")


def test_offers_that_are_not_what_they_are_used_for_are_refused(trace: str) -> None:
    node, serverless = "aws/ec2/p5.48xlarge/us-east-1/on_demand", "modal/functions/l4/auto/serverless"
    for words, named in (
        (["--node-offer", node], "go together"),
        (["--node-offer", node, "--serverless-offer", node], "serverless"),
        (["--node-offer", node, "--serverless-offer", serverless], "has the GPU"),
    ):
        with pytest.raises(InvalidInput, match=named):
            CliRunner().invoke(app, [trace, *words], catch_exceptions=False)


def test_a_wrong_name_and_a_wrong_trace_are_refused(trace: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no-wait"):
        CliRunner().invoke(app, [trace, "--rule", "no-wiat"], catch_exceptions=False)
    series = tmp_path / "series.csv"
    series.write_text("time_s,gpus\n0,1\n300,2\n600,1\n")
    with pytest.raises(InvalidInput, match="needs jobs"):
        CliRunner().invoke(app, [str(series)], catch_exceptions=False)
