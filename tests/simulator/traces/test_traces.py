"""Other systems' records become traces, traces are described truly, and made-up ones are repeatable."""

import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from broker.decide.demand import Demand, demand
from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.traces import load
from simulator.traces.describe import busy_shares, cycle, describe, week
from simulator.traces.formats import FORMATS, recognise, source
from simulator.traces.formats.serving import Serving
from simulator.traces.formats.source import Source
from simulator.traces.synth import KINDS, synth
from tests.command_line import broker

SLURM = """JobID|User|Submit|Start|End|State|AllocTRES
1|ann|2026-01-05T08:00:00|2026-01-05T09:00:00|2026-01-05T10:00:00|COMPLETED|billing=8,cpu=8,gres/gpu=2,gres/gpu:h100=2,node=1
1.batch|ann|2026-01-05T08:00:00|2026-01-05T09:00:00|2026-01-05T10:00:00|COMPLETED|cpu=8,gres/gpu=2
2|bob|2026-01-05T08:30:00|Unknown|Unknown|PENDING|
3|bob|2026-01-05T08:30:00|2026-01-05T12:00:00|2026-01-05T12:00:30|FAILED|cpu=1,gres/gpu=1
4|bob|2026-01-05T08:30:00|2026-01-05T12:00:00|2026-01-05T12:00:30|FAILED|cpu=1
"""
SWF = """; Version: 2.2
1 100 20 300 4 -1 -1 4 -1 -1 1 7 -1 -1 2 -1 -1 -1
2 500 0 -1 4 -1 -1 4 -1 -1 0 7 -1 -1 2 -1 -1 -1
"""
RAY = json.dumps(
    [
        {"start_time": 1767600000000, "end_time": 1767603600000, "entrypoint_num_gpus": 1, "metadata": {"user": "ann"}},
        {"start_time": 1767600000000, "end_time": None, "entrypoint_num_gpus": 1},
        {"start_time": 1767600000000, "end_time": 1767603600000, "entrypoint_num_gpus": None},
    ]
)
KUBERNETES = json.dumps(
    {
        "items": [
            {
                "metadata": {"namespace": "team-a"},
                "spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}, {}]},
                "status": {
                    "startTime": "2026-01-05T09:00:00Z",
                    "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-01-05T09:10:00Z"}}}],
                },
            },
            {"metadata": {}, "spec": {"containers": [{}]}, "status": {"startTime": "2026-01-05T09:00:00Z"}},
        ]
    }
)
OURS = json.dumps(
    {
        "items": [
            {
                "kind": "job",
                "gpus": "L4:2 or A10:4",
                "num_nodes": 2,
                "user": "ann",
                "name": "train",
                "submitted_at": "",
                "started_at": "2026-01-05T09:00:00Z",
                "ended_at": "2026-01-05T09:10:00Z",
            },
            {"kind": "job", "gpus": "L4:1", "started_at": None, "ended_at": "2026-01-05T09:10:00Z"},
            {"kind": "job", "gpus": "", "started_at": "2026-01-05T09:00:00Z", "ended_at": "2026-01-05T09:10:00Z"},
        ],
        "next_cursor": None,
    }
)
JOBS = "\ufeffuser,submit_s,duration_s,gpus,note\nb,7200,30,0.5,x\na,3600,60,2,\nc,3600,60,0,\n"
MODAL = """Object ID,Description,Environment,Interval Start,Resource,Cost
ap-1,train,main,2026-07-05T09:00:00+00:00,Nvidia H100,5.9238
ap-1,train,main,2026-07-05T09:00:00+00:00,CPU,0.11
ap-1,train,main,2026-07-05T09:00:00+00:00,Memory,0.2
ap-2,serve,main,2026-07-05T10:00:00+00:00,Nvidia A100 80GB,1.2492
"""
REQUESTS = "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-05T09:00:00Z,8000,40\n2026-01-05T09:00:01Z,0,80\n"


@pytest.mark.parametrize(
    ("form", "text", "rows"),
    [
        ("slurm", SLURM, [(9 * 3600.0, 3600.0, 2.0), (12 * 3600.0, 30.0, 1.0)]),
        ("swf", SWF, [(120.0, 300.0, 4.0)]),
        ("ray", RAY, [(8 * 3600.0, 3600.0, 1.0)]),
        ("kubernetes", KUBERNETES, [(9 * 3600.0, 600.0, 2.0)]),
        ("broker", OURS, [(9 * 3600.0, 600.0, 4.0)]),
        ("jobs", JOBS, [(3600.0, 60.0, 2.0), (7200.0, 30.0, 0.5)]),
        ("modal", MODAL, [(9 * 3600.0, 3600.0, 1.5), (10 * 3600.0, 3600.0, 0.5)]),
        ("requests", REQUESTS, [(9 * 3600.0, 2.0, 1 / 16), (9 * 3600.0 + 1, 2.0, 1 / 16)]),
    ],
)
def test_other_systems_records_become_jobs(form: str, text: str, rows: list[tuple[float, ...]]) -> None:
    assert recognise(text) == form
    found = FORMATS[form](Source(text=io.StringIO(text), name="file"))
    assert [tuple(row) for row in found[["submit_s", "duration_s", "gpus"]].to_numpy()] == [
        pytest.approx(row) for row in rows
    ]


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("swf", "1 2 3\n", "file:1: 3 fields, not 18"),
        ("ray", '[{"a": 1},\n x]', "file:2: is no JSON"),
        ("ray", "{}", "is a JSON dict, not a list"),
        ("slurm", "JobID|User\n1|ann\n", "file:1: no column Start, End, AllocTRES"),
        ("kubernetes", '{"items": []}', "no ended job with GPUs"),
        ("slurm", SLURM.replace("T10:00:00", "T1o:00:00"), "file:2: End: '2026-01-05T1o:00:00' is no time"),
        ("jobs", "submit_s,duration_s,gpus\n1,2,3\n1,-2,3\n", "file:3: duration_s: '-2' is not a number of at least 0"),
        ("modal", MODAL.replace("H100", "X9"), "file:2: Resource: Modal has no price of a X9"),
        ("modal", "Object ID,Cost\n", "no column Description, Interval Start, Resource"),
        ("requests", "TIMESTAMP,ContextTokens\n2026-01-05T09:00:00Z,1\n", "file:1: no column generated_tokens"),
    ],
)
def test_what_can_t_be_read_is_named(form: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        FORMATS[form](Source(text=io.StringIO(text), name="file"))


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_traces_are_repeatable_and_as_large_as_asked_for(kind: str, tmp_path: Path) -> None:
    first, second, other = synth(kind, 30.0, 8.0, 1), synth(kind, 30.0, 8.0, 1), synth(kind, 30.0, 8.0, 2)
    assert first.equals(second)
    assert not first.equals(other)
    hours = (first["duration_s"] * first["gpus"]).sum() / 3_600.0
    assert 0.5 * 30 * 24 * 8 < hours < 1.6 * 30 * 24 * 8
    path = tmp_path / "made.csv"
    first.to_csv(path, index=False)
    assert isinstance(load(str(path)), Workload)


def test_each_gpu_s_busy_share_is_the_area_of_its_slice() -> None:
    busy = np.random.default_rng(1).uniform(0, 6, 500)
    expected = [np.clip(busy - k, 0, 1).mean() for k in range(int(np.ceil(busy.max())))]
    assert busy_shares(busy) == pytest.approx(expected)
    assert busy_shares(np.zeros(10)).size == 0


def test_a_day_like_the_day_before_is_seen() -> None:
    steps = np.arange(20 * 288)
    daily = Demand(step_s=300.0, gpus=10 + 5 * np.sin(steps / 288 * 2 * np.pi))
    noise = Demand(step_s=300.0, gpus=np.random.default_rng(1).uniform(0, 10, len(steps)))
    assert describe(daily, 0.45)["daily_cycle"] > 0.99
    assert abs(describe(noise, 0.45)["daily_cycle"]) < 0.2
    assert cycle(daily.gpus[:288], 24) is None


def test_what_is_described_is_what_is_there() -> None:
    jobs = Workload.of([0.0, 86_400.0], [86_400.0, 86_400.0], [2, 1], user=["ann", "bob"])
    found = describe(jobs, 0.45)
    assert found["jobs"] == 2
    assert found["users"] == pytest.approx({"ann": 2 / 3, "bob": 1 / 3})
    assert found["gpu_hours"] == pytest.approx(demand(jobs, 300.0).gpus.sum() / 12)
    assert found["peak_gpus"] == 2


def test_models_and_classes_are_described_apart_and_add_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    submit, lasts, gpus = rng.uniform(0, 9 * 86_400.0, 300), rng.exponential(7_200.0, 300), rng.choice([1.0, 2.0], 300)
    models = rng.choice(["H100", "L4"], 300).tolist()
    found = describe(Workload.of(submit, lasts, gpus, gpu_type=models, kind=["a"] * 300), 0.45)
    assert set(found["by_gpu_type"]) == {"H100", "L4"}
    assert found["by_kind"] == {}
    assert sum(each["gpu_hours"] for each in found["by_gpu_type"].values()) == pytest.approx(
        found["gpu_hours"], rel=0.02
    )


def test_a_week_is_the_mean_of_its_hours() -> None:
    busy = np.repeat(np.arange(24 * 14) % 168, 12).astype(float)
    assert week(busy).ravel().tolist() == list(range(168))


def test_a_description_has_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    for name, table in (
        ("jobs", synth("mixed", 10.0, 4.0, 1)),
        ("series", pd.DataFrame({"time_s": [0, 300], "gpus": [1, 2]})),
    ):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        page = tmp_path / f"{name}.html"
        assert broker("trace", "describe", str(tmp_path / f"{name}.csv"), "--html", str(page)).returncode == 0
        text = page.read_text()
        assert f"What is in {name}" in text
        assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", text)


def test_commands_fit_together(tmp_path: Path) -> None:
    (tmp_path / "jobs.txt").write_text(SLURM)
    made = broker("trace", "import", str(tmp_path / "jobs.txt"))
    said = broker("trace", "describe", "-", "--json", stdin=made.stdout)
    assert json.loads(said.stdout)["jobs"] == 2
    wrong = broker("trace", "synth", "--kind", "x")
    assert wrong.returncode == 2
    assert "use training" in wrong.stderr
    odd = broker("trace", "import", "-", stdin="what")
    assert odd.returncode == 2
    assert "--format jobs, slurm" in odd.stderr
    packed = tmp_path / "jobs.csv.gz"
    packed.write_bytes(gzip.compress(made.stdout.encode()))
    again = broker("trace", "import", str(packed))
    assert again.stdout == made.stdout


def test_long_files_are_read_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> pd.DataFrame:
        return FORMATS["slurm"](Source(text=io.StringIO(SLURM), name="file"))

    whole = read()
    monkeypatch.setattr(source, "CHUNK", 2)
    pd.testing.assert_frame_equal(read(), whole)
    with pytest.raises(InvalidInput, match="file:7: End: 'x' is no time"):
        FORMATS["slurm"](Source(text=io.StringIO(SLURM + "5|a|b|2026-01-05T12:00:00|x|F|gres/gpu=1\n"), name="file"))


def test_requests_are_served_as_one_says() -> None:
    twice = Serving(prefill_tokens_per_s=16_000, decode_tokens_per_s=80, requests_per_gpu=8)
    found = FORMATS["requests"](Source(text=io.StringIO(REQUESTS), name="file", serving=twice))
    assert found["duration_s"].tolist() == pytest.approx([1.0, 1.0])
    assert found["gpus"].tolist() == [1 / 8, 1 / 8]
