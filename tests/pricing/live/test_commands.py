"""`broker prices refresh`, `prices history` and what `prices` says of them, asked of AWS over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker.model.errors import InvalidInput, UnknownName
from pricing import commands
from tests.pricing.sources.aws_server import ACCESS_KEY, AwsServer, product, rate, refuse, refuse_ec2, spot
from tests.pricing.sources.listening import listening

H100 = "aws/ec2/p5.48xlarge/us-east-1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AwsServer]:
    aws = AwsServer(
        types={"p5.48xlarge": ("H100", 8, 81920), "g6.xlarge": ("L4", 1, 22888)},
        products=[product("p5.48xlarge", "50"), product("g6.xlarge", "0.8")],
        spot=[spot("p5.48xlarge", "us-east-1a", "20")],
        rates=[rate("p5.48xlarge", "30")],
    )
    monkeypatch.setenv("BROKER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody's")
    with listening(aws) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield aws


def run(*words: str) -> Result:
    return CliRunner().invoke(commands.app, list(words), catch_exceptions=False)


def refresh(*words: str) -> Result:
    return run("refresh", "aws", "--region", "us-east-1", *words)


def price(offer_id: str) -> tuple[str, str]:
    rows = json.loads(run("--json", "--provider", "aws").stdout)
    (found,) = [row for row in rows if row["id"] == offer_id]
    return found["usd_per_hour"], found["source"]


def test_fresh_prices_are_what_prices_shows(server: AwsServer) -> None:
    before, _ = price(f"{H100}/on_demand")
    done = refresh()
    assert (done.exit_code, done.stdout) == (
        0,
        "aws us-east-1 on_demand: 2 prices, 2 of them new\n"
        "aws us-east-1 spot: 1 prices, 1 of them new\n"
        "aws us-east-1 commit_1y, commit_3y: 1 prices, 1 of them new\n",
    )
    assert (before, price(f"{H100}/on_demand")[0], price(f"{H100}/spot")[0]) == ("55.04", "50", "20")
    assert price(f"{H100}/commit_1y")[1].startswith("live: AWS Savings Plans")
    assert run("check").exit_code == 0


def test_the_second_time_nothing_is_new(server: AwsServer) -> None:
    refresh()
    assert "2 prices, 0 of them new" in refresh().stdout


def test_a_refused_price_is_told_and_the_old_one_stays(server: AwsServer) -> None:
    server.products[0] = product("p5.48xlarge", "5.504")
    done = refresh()
    assert done.exit_code == 1
    assert "refused aws/ec2/p5.48xlarge/us-east-1/on_demand: asks $5.504 an hour, 10.0 times off" in done.stderr
    assert price(f"{H100}/on_demand")[0] == "55.04"
    accepted = refresh("--accept", f"{H100}/on_*")
    assert price(f"{H100}/on_demand")[0] == "5.504", accepted.stderr


def test_no_answer_is_told_and_the_others_are_kept(server: AwsServer) -> None:
    server.faults["GetProducts"] = [refuse(400, "AccessDeniedException")]
    done = refresh()
    assert done.exit_code == 6
    assert "error: AWS in us-east-1: the credentials lack the permission pricing:GetProducts" in done.stderr
    assert "nobody's" not in done.output
    assert (price(f"{H100}/on_demand")[0], price(f"{H100}/spot")[0]) == ("55.04", "20")


def test_a_reason_that_all_parts_share_is_said_once(server: AwsServer) -> None:
    server.faults["DescribeInstanceTypes"] = [refuse_ec2(403, "ExpiredToken")]
    done = refresh()
    assert done.stdout.count("no answer") == 3 and done.stderr.count("the credentials have expired") == 1


def test_a_dry_run_keeps_nothing(server: AwsServer, tmp_path: Path) -> None:
    assert refresh("--dry-run").exit_code == 0
    assert not (tmp_path / "state").exists()


def test_json_has_all_of_it(server: AwsServer) -> None:
    server.products[0] = product("p5.48xlarge", "5", currency="CNY")
    on_demand, at_once, _ = json.loads(refresh("--json").stdout)
    assert at_once["offers"] == 1 and at_once["tiers"] == ["spot"] and at_once["error"] is None
    assert on_demand["refused"] == [{"thing": "p5.48xlarge us-east-1", "reason": "is in 'CNY', not in USD"}]


def test_prices_says_when_who_was_asked(server: AwsServer) -> None:
    refresh()
    said = run("--gpu", "H100").stderr
    assert "asked: aws " in said and " s ago" in said
    assert "bundled facts, the newest: azure of 2026-11-09" in said


def test_history_is_bundled_facts_and_answers(server: AwsServer) -> None:
    refresh()
    server.products[0] = product("p5.48xlarge", "60")
    refresh()
    bundled, first, second = run("history", f"{H100}/on_demand").stdout.splitlines()
    assert bundled.startswith("2026-07-20  $55.04/h  github:aws/karpenter")
    assert "  $50/h  -9.2%  live: AWS Price List" in first and "  $60/h  +20.0%  " in second
    assert [row["usd_per_hour"] for row in json.loads(run("history", f"{H100}/on_demand", "--json").stdout)] == [
        "55.04",
        "50",
        "60",
    ]


def test_history_of_nothing() -> None:
    with pytest.raises(UnknownName, match=r"did you mean aws/ec2/p5\.48xlarge/us-east-1/spot"):
        run("history", f"{H100}/spott")


def test_words_that_are_wrong() -> None:
    with pytest.raises(UnknownName, match="no provider 'awz' can be asked for prices; there are: aws"):
        run("refresh", "awz")
    with pytest.raises(InvalidInput, match="--region: is the name of one provider's region"):
        run("refresh", "aws", "gcp", "--region", "us-east-1")


def test_the_state_folder_of_the_configuration_is_where_prices_are(server: AwsServer, tmp_path: Path) -> None:
    """Through the whole command line: one broker's prices are not another's."""
    (tmp_path / "broker.toml").write_text('state_dir = "kept"\n')
    environment = {name: value for name, value in os.environ.items() if name != "BROKER_STATE_DIR"}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home")}

    def broker(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("broker")), *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    broker("prices", "refresh", "aws", "--region", "us-east-1")
    assert (tmp_path / "kept" / "prices.db").exists() and not (tmp_path / "home").exists()
    assert "live: AWS Price List" in broker("prices", "--csv", "--provider", "aws")
    assert f"{H100}/commit_1y" in broker("breakeven", "--gpu", "H100", "--all", "--csv")
    environment["BROKER_STATE_DIR"] = str(tmp_path / "other")
    assert "live: AWS" not in broker("prices", "--csv", "--provider", "aws")


def test_a_broker_asks_as_the_command_does_and_tells_what_it_could_not_have(server: AwsServer) -> None:
    from pricing.live.source import LiveSource

    source = LiveSource()
    assert source.last_asked_s("aws") is None
    server.products[0] = product("p5.48xlarge", "5.504")
    told = list(source.ask("aws", ["us-east-1"]))
    assert next((each.part, each.offers, len(each.refused)) for each in told) == ("aws us-east-1 on_demand", 1, 1)
    assert told[0].refused[0].startswith(f"{H100}/on_demand: ")
    assert price(f"{H100}/on_demand")[0] == "55.04"
    assert source.last_asked_s("aws") is not None and source.last_asked_s("gcp") is None
    server.faults["GetProducts"] = [refuse(400, "AccessDeniedException")]
    assert any(each.error for each in source.ask("aws", ["us-east-1"]))
