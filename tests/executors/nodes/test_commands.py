"""`broker cluster` as a person meets it, against AWS over HTTP; and the examples."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from broker.cli.failing import explained
from broker.cli.main import app
from broker.model.errors import BrokerError
from broker.run.build import capabilities
from broker.run.plugins import make_node_group, price_offers
from broker.run.settings import load_settings

if TYPE_CHECKING:
    from tests.executors.nodes.aws_server import Aws

ROOT = Path(__file__).parents[3]
BROKER = str(Path(sys.executable).with_name("broker"))
CONFIG = """
[pools.aws]
executor = "ray"
kind = "cluster"
region = "us-east-1"
cpus = 4
memory = "14GiB"
accelerators = "L4:1"
max_nodes = 4
price = {{ offer = "aws/ec2/g6.xlarge/us-east-1/spot" }}
[pools.aws.nodes]
provider = "ec2"
instance_type = "g6.xlarge"
head_type = "m5.large"
buy = "spot"
image = "ami-12c6146b"
subnets = ["{subnet}"]
security_groups = ["{group}"]
every_s = 0.05
endpoint_url = "{url}"
[pools.here]
executor = "local_serverless"
kind = "serverless"
"""


class Cli:
    def __init__(self, folder: Path, aws: Aws) -> None:
        ec2 = aws.client("ec2")
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        (folder / "broker.toml").write_text(CONFIG.format(subnet=subnet, group=group, url=aws.url))
        self._folder = folder

    def __call__(self, *words: str, code: int = 0) -> str:
        """What it prints, or what it says of an error, as `main` would."""
        done = CliRunner().invoke(app, ["--config", str(self._folder / "broker.toml"), "cluster", *words])
        if isinstance(done.exception, BrokerError):
            said = StringIO()
            with redirect_stderr(said):
                assert explained(done.exception) == code
            return said.getvalue()
        assert done.exit_code == code, done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def cluster(tmp_path: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("BROKER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BROKER_CONFIG", "")
    return Cli(tmp_path, aws)


def test_from_a_dry_run_to_nothing_left(aws: Aws, cluster: Cli) -> None:
    before = aws.calls.total()
    planned = cluster.json("create", "aws", "--nodes", "2", "--dry-run")
    assert aws.calls.total() == before and planned["without_known_price"] == 1
    assert planned["usd_per_hour"] == "0.8014", "two spot nodes; the head's type is not in the price book"
    assert "Nothing was made" in cluster("create", "aws", "--dry-run")
    made = cluster.json("create", "aws", "--nodes", "2")
    assert [row["role"] for row in made["nodes"]] == ["head", "node", "node"] and made["wanted"] == 2
    assert len(cluster.json("scale", "aws", "3")["nodes"]) == 4
    assert "--force" in cluster("scale", "aws", "1", code=4)
    assert cluster.json("scale", "aws", "1", "--force")["wanted"] == 1
    assert "g6.xlarge" in cluster("show", "aws")
    assert "say --yes" in cluster("delete", "aws", code=2)
    cluster("delete", "aws", "--yes")
    assert aws.left() == {"groups": 0, "templates": 0, "machines": 0}
    assert "broker cluster create aws" in cluster("show", "aws", code=2)


def test_what_is_wrong_is_said_in_words(aws: Aws, cluster: Cli) -> None:
    assert "did you mean aws?" in cluster("show", "awss", code=2)
    assert "no table pools.here.nodes" in cluster("show", "here", code=2)
    aws.fail("DescribeAutoScalingGroups", code="ExpiredToken", message="old", status=403)
    assert "have expired: log in again" in cluster("show", "aws", code=5)
    assert "at most 4 nodes, not 5" in cluster("create", "aws", "--nodes", "5", code=5)


@pytest.mark.parametrize("command", ["create", "scale", "show", "delete"])
def test_every_command_has_an_example_and_is_documented(command: str) -> None:
    said = subprocess.run([BROKER, "cluster", command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "Example" in said
    assert f"broker cluster {command}" in (ROOT / "docs" / "clusters.md").read_text()


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_an_example_can_be_used_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(ROOT / "examples" / "pools" / f"{name}.toml", {"BROKER_STATE_DIR": str(tmp_path)})
    pool = next(each for each in settings.pools(price_offers(), capabilities) if each.name == name)
    group = make_node_group(pool, "ada")
    assert group is not None and pool.offers and group.parts(2)
