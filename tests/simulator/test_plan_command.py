"""`broker plan` as people and programs call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BROKER = str(Path(sys.executable).with_name("broker"))
POOLS = """
pools:
  firm: {kind: committed, usd_per_hour: 12, gpus: 8}
  daily: {kind: cluster, accelerators: "H100:2", price: {usd_per_hour: 5}, max_nodes: 10}
  burst: {kind: serverless, usd_per_hour: 4.5}
"""


def call(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BROKER, *words], capture_output=True, text=True, input=stdin, check=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    demand, pools = tmp_path / "demand.csv", tmp_path / "pools.yaml"
    demand.write_text("step,gpus_busy\n" + "".join(f"{t},{8 if t % 4 else 12}\n" for t in range(576)))
    pools.write_text(POOLS)
    return demand, pools


def test_demand_and_pools_give_a_plan(files: tuple[Path, Path]) -> None:
    said = call("plan", "--demand", str(files[0]), "--pools", str(files[1]), "--json")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["committed_gpus"]["firm"] == pytest.approx(8.0)
    assert found["gpu_hours"]["burst"] == pytest.approx(48 / 4 * 4)
    assert found["cost_usd"] == pytest.approx(8 * 48 * 1.5 + 48 * 4.5)
    assert "commitment to 8 GPUs of firm" in found["in_words"]


def test_a_made_up_trace_and_today_s_prices_are_enough() -> None:
    made = call("trace", "synth", "--days", "20", "--gpus", "4").stdout
    said = call("plan", stdin=made)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("offer\tkind")
    assert "Buy:" in said.stdout


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("demand", "step,gpus\n0,1\n", "needs rows and the columns step, gpus_busy"),
        ("demand", "step,gpus_busy\n0,1\n1,-4\n", ":3: gpus_busy: '-4'"),
        ("pools", "pools: {}", "name at least one pool"),
        ("pools", "pools: {a: {kind: cloud}}", "pools.a.kind: must be one of"),
        ("pools", "pools: {a: {kind: cluster}}", "pools.a.usd_per_hour: must be dollars"),
        ("pools", "pools: [", "is not YAML"),
        ("pools", "pools: {a: {kind: cluster, usd_per_hour: 1, gpus: 1, max_gpus: 1}}", "raise max_gpus"),
    ],
)
def test_what_is_wrong_is_named(files: tuple[Path, Path], name: str, text: str, complaint: str) -> None:
    files[0 if name == "demand" else 1].write_text(text)
    said = call("plan", "--demand", str(files[0]), "--pools", str(files[1]))
    assert said.returncode != 0
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr
