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


def test_the_best_window_is_named_last(trace: str) -> None:
    lines = CliRunner().invoke(app, [trace, "--cold-start", "60"], catch_exceptions=False).stdout.splitlines()
    assert lines[0].startswith("window\tseconds\tcold starts")
    assert lines[-1].split("\t")[:3] == ["best", "30", "1"]


def test_the_worth_of_not_waiting_counts(trace: str) -> None:
    def best(*options: str) -> float:
        said = CliRunner().invoke(app, [trace, "--json", *options], catch_exceptions=False).stdout
        return float(json.loads(said)["windows"]["best"]["window_s"])

    assert best("--cold-start", "10") == 2.0
    assert best("--cold-start", "10", "--worth", "50") == 30.0


def test_a_series_is_refused(tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    series.write_text("time_s,gpus\n0,1\n300,2\n600,1\n")
    with pytest.raises(InvalidInput, match="needs jobs"):
        CliRunner().invoke(app, [str(series)], catch_exceptions=False)
