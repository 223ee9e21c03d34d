"""`broker warm`: what a user sees."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from broker.model.errors import InvalidInput
from simulator.warm_command import warm

app = Typer()
app.command()(warm)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    path.write_text("submit_s,duration_s,gpus\n" + "".join(f"{60 * row},30,1\n" for row in range(100)))
    return str(path)


def test_ways_to_keep_warm_are_held_side_by_side(trace: str) -> None:
    lines = CliRunner().invoke(app, [trace, "--cold-start", "60"], catch_exceptions=False).stdout.splitlines()
    assert lines[0].startswith("kept warm\twindow\tmin\tbuffer\tcold starts")
    ways = {line.split("\t")[0]: line.split("\t")[1:5] for line in lines[1:-2]}
    assert {"2 s", "60 s", "hybrid histogram"} < set(ways)
    assert ways["chosen"] == ways["best window"] == ["30 s", "0", "0", "2"]  # the first job is late by its cold start
    assert lines[-2].startswith("Set scaledown_window to 30 s, min_containers to 0")
    assert "2 at a time" in lines[-1]


def test_the_worth_of_not_waiting_counts(trace: str) -> None:
    def best(*options: str) -> float:
        said = CliRunner().invoke(app, [trace, "--json", *options], catch_exceptions=False).stdout
        return float(json.loads(said)["windows"]["best window"]["window_s"])

    assert best("--cold-start", "10") == 2.0
    assert best("--cold-start", "10", "--worth", "50") == 30.0


def test_a_promise_is_kept_or_said_to_be_impossible(trace: str) -> None:
    options = [trace, "--json", "--cold-start", "10", "--start-within", "1"]
    found = json.loads(CliRunner().invoke(app, options, catch_exceptions=False).stdout)
    assert found["chosen"]["keeps_promise"] and found["windows"]["chosen"]["warm_share"] >= 0.95
    never = [*options, "--share", "1"]
    said = json.loads(CliRunner().invoke(app, never, catch_exceptions=False).stdout)["chosen"]
    assert not said["keeps_promise"] and "can't be kept" in said["reason"]


def test_a_series_is_refused(tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    series.write_text("time_s,gpus\n0,1\n300,2\n600,1\n")
    with pytest.raises(InvalidInput, match="needs jobs"):
        CliRunner().invoke(app, [str(series)], catch_exceptions=False)
