"""`broker plan` as people and programs call it."""

import json
from pathlib import Path

import pytest

from tests.command_line import broker

POOLS = """
pools:
  firm: {kind: committed, usd_per_hour: 12, gpus: 8}
  daily: {kind: cluster, accelerators: "H100:2", price: {usd_per_hour: 5}, max_nodes: 10}
  burst: {kind: serverless, usd_per_hour: 4.5}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    demand, pools = tmp_path / "demand.csv", tmp_path / "pools.yaml"
    demand.write_text("step,gpus_busy\n" + "".join(f"{t},{8 if t % 4 else 12}\n" for t in range(576)))
    pools.write_text(POOLS)
    return demand, pools


def test_demand_and_pools_give_a_plan(files: tuple[Path, Path]) -> None:
    said = broker("plan", "--demand", str(files[0]), "--pools", str(files[1]), "--json")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["committed_gpus"]["firm"] == pytest.approx(8.0)
    assert found["gpu_hours"]["burst"] == pytest.approx(48 / 4 * 4)
    assert found["cost_usd"] == pytest.approx(8 * 48 * 1.5 + 48 * 4.5)
    assert "commitment to 8 GPUs of firm" in found["in_words"]


def test_a_made_up_trace_and_today_s_prices_are_enough() -> None:
    made = broker("trace", "synth", "--days", "20", "--gpus", "4").stdout
    said = broker("plan", stdin=made)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("offer\tkind")
    assert "Buy:" in said.stdout


RULES = """
pools:
  eu: {kind: cluster, usd_per_hour: 2, region: eu, gpu: H100, boot: 10m, minimum: 1h, start_usd: 0.1}
  us: {kind: serverless, usd_per_hour: 3, region: us, gpu: H100, overhead: 0.1}
  burst: {kind: serverless, usd_per_hour: 5, region: eu, gpu: H100}
classes:
  private: {regions: [eu]}
  batch: {max_wait: 2h}
limits:
  quota: {pools: [eu], max_gpus: 3}
"""


def test_classes_limits_and_waiting_are_planned_for(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    rows = "".join(f"{t},{4 if t % 6 < 2 else 1},{2 if t % 12 < 6 else 0}\n" for t in range(144))
    (tmp_path / "demand.csv").write_text(f"step,private,batch\n{rows}")
    words = ("plan", "--demand", str(tmp_path / "demand.csv"), "--pools", str(tmp_path / "rules.yaml"))
    said = broker(*words, "--step", "600", "--json", "--html", str(tmp_path / "p.html"), "--lp", str(tmp_path / "p.lp"))
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert set(found["demand_gpus"]) == {"private", "batch"}
    assert max(found["gpus_by_period"]["eu"]) <= 3 + 1e-6
    assert sum(found["cost_by_offer_usd"].values()) == pytest.approx(found["cost_usd"])
    assert found["bought_below_usd"]["burst"] == "any"
    assert "What to buy for demand" in (tmp_path / "p.html").read_text()
    assert "Minimize" in (tmp_path / "p.lp").read_text()


def test_jobs_of_a_trace_go_to_their_classes_and_the_rest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "t.csv").write_text(
        "submit_s,duration_s,gpus,kind\n0,7200,2,private\n600,7200,1,batch\n3600,7200,1,other\n"
    )
    words = ("plan", str(tmp_path / "t.csv"), "--pools", str(tmp_path / "rules.yaml"), "--step", "600")
    said = broker(*words)
    assert said.returncode == 2
    assert "1 job of" in said.stderr
    assert "kind 'other'" in said.stderr
    text = RULES.replace("batch: {max_wait: 2h}", "batch: {max_wait: 2h, match: {kind: [batch, other]}}")
    (tmp_path / "rules.yaml").write_text(text)
    assert broker(*words).returncode == 0


def test_what_may_come_is_planned_for_with_how_sure_that_is(tmp_path: Path) -> None:
    made = broker("trace", "synth", "--kind", "serving", "--days", "20", "--gpus", "4").stdout
    said = broker("plan", "--forecast", "7", "--courses", "4", "--json", stdin=made)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["hours"] == 7 * 24
    assert len(found["scenario_usd"]) == found["scenarios"] == 4
    assert "How sure: in nine of ten courses" in found["advice"][-1]


def test_a_part_of_a_node_is_said_to_be_one_and_whole_nodes_are_bought_when_asked(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("pools: {firm: {kind: committed, usd_per_hour: 8, gpus: 8}}")
    (tmp_path / "demand.csv").write_text("step,gpus_busy\n0,3\n1,11\n")
    words = ("plan", "--demand", str(tmp_path / "demand.csv"), "--pools", str(tmp_path / "rules.yaml"), "--json")
    relaxed, whole = (json.loads(broker(*words, *flags).stdout) for flags in ((), ("--whole-nodes",)))
    said = "firm is sold in nodes of 8: --whole-nodes buys no part of one."
    assert said in relaxed["advice"] and said not in whole["advice"]
    assert (relaxed["committed_gpus"], whole["committed_gpus"]) == ({"firm": 11}, {"firm": 16})


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("demand", "step,gpus\n0,1\n", "needs rows and the columns step, gpus_busy"),
        ("demand", "step,gpus_busy\n0,1\n1,-4\n", ":3: gpus_busy: '-4'"),
        ("demand", "gpus_busy\n1\n", "needs rows and the columns step, gpus_busy"),
        ("demand", "step,gpus_busy\n0,1\n1,4\n5,2\n", ":4: step: 5 does not follow 1"),
        ("demand", "step,gpus_busy\n0,1e300\n1,2\n", "takes no number of 1e+15 or more"),
        ("pools", "pools: {}", "name at least one pool"),
        ("pools", "pools:\n  a:\n    kind: cloud", "pools.yaml:3: pools.a.kind: must be 'committed'"),
        ("pools", "pools: {a: {kind: cluster}}", "pools.a.usd_per_hour: is required"),
        (
            "pools",
            "pools:\n  a: {kind: cluster,\n    usd_per_hours: 2}",
            "pools.yaml:3: pools.a.usd_per_hours: unknown field (did you mean 'usd_per_hour'?)",
        ),
        (
            "pools",
            "pools: {a: {kind: cluster, usd_per_hour: -2}}",
            "pools.a.usd_per_hour: input should be greater than or equal to 0, not -2",
        ),
        ("pools", "pools: {a: {kind: cluster, usd_per_hour: 1, boot: soon}}", "pools.a.boot: "),
        (
            "pools",
            "pools: {a: {kind: cluster, usd_per_hour: 1}}\nclasses: {x: {pools: [b]}}",
            "classes.x.pools: there is no pool 'b': there are a",
        ),
        ("pools", "pools: {a: {kind: cluster, usd_per_hour: 1, resize: 7m}}", "no whole number of steps"),
        ("pools", "pools: [", "pools.yaml:1: is not YAML: while parsing a flow node, expected the node content"),
        ("pools", "pools:\n\ta: b", "pools.yaml:2: is not YAML: while scanning for the next token, found character"),
        ("pools", "pools:\n  a: \x01", r"pools.yaml:2: is not YAML: it holds the character '\x01'"),
        ("pools", "pools:\n  a: !ours x", "pools.yaml:2: is not YAML: could not determine a constructor for the tag"),
        ("pools", "pools: {a: {kind: cluster, usd_per_hour: 1, gpus: 1, max_gpus: 1}}", "a has max_gpus 1"),
    ],
)
def test_what_is_wrong_is_named(files: tuple[Path, Path], name: str, text: str, complaint: str) -> None:
    files[0 if name == "demand" else 1].write_text(text)
    said = broker("plan", "--demand", str(files[0]), "--pools", str(files[1]))
    assert said.returncode != 0
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr


def test_pools_that_are_no_text_are_refused_with_their_line(files: tuple[Path, Path]) -> None:
    files[1].write_bytes(b"pools:\n  a: \xff\xfe")
    said = broker("plan", "--demand", str(files[0]), "--pools", str(files[1]))
    assert said.returncode != 0
    assert "pools.yaml:2: byte 12 is not UTF-8 text" in said.stderr
    assert "Traceback" not in said.stderr
