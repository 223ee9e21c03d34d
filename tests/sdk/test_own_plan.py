"""The broker's own plan as programs and the command line ask for it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import broker
from broker.api.examples.studies import own_planned
from broker.decide.buying import Way
from broker.decide.models_of_work import Work
from broker.model.errors import DaemonError, InvalidInput
from broker.run.service.planning import OwnPlan
from tests.sdk.conftest import Served

BROKER = str(Path(sys.executable).with_name("broker"))
RESULT = own_planned().result


@pytest.fixture
def asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What a plan was asked with, of a broker that answers at once."""
    found: list[tuple[object, ...]] = []

    async def plan(*wish: object) -> OwnPlan:
        found.append(wish)
        way = Way(name="owned", gpu="H100", kind="cluster", usd_per_hour=24.0, node=8)
        return OwnPlan(
            as_of_ns=0,
            gpu=None,
            gpu_hours={"H100": 32.0, "L4": 5.0},
            since_ns=0,
            works=(Work(speeds={"H100": 1.0}, gpus=np.array([4.0] * 8)),),
            ways=(way,),
            left_out={"Z9": "no price of it is known"},
            result=RESULT,
        )

    monkeypatch.setattr(served.house.service.planning, "plan", plan)
    monkeypatch.setenv("BROKER_STATE_DIR", str(served.state_dir))
    return found


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BROKER, "plan", *words], capture_output=True, text=True, check=False, stdin=subprocess.PIPE)


def test_programs_and_the_command_line_get_the_same(asked: list[tuple[object, ...]]) -> None:
    found = broker.plan(max_age_s=60)
    assert (found["gpu"], found["result"], found["ways"][0]["name"]) == (None, RESULT, "owned")
    said = command("--own", "--gpu", "H100", "--forecast", "7", "--json")
    assert (said.returncode, json.loads(said.stdout)) == (0, RESULT), said.stderr
    assert asked == [(None, 14.0, 60.0), ("H100", 7.0, 0.0)]
    told = command("--own").stdout
    assert told.startswith("H100: 32 GPU-hours, L4: 5 GPU-hours of work since 1970-01-01; planned for ")
    assert "Without the work on Z9: no price of it is known." in told
    assert RESULT["in_words"] in told and "\nowned\tH100\t" in told and "\nall\t0\t8.00\t" in told


def test_what_is_for_traces_only_is_refused(asked: list[tuple[object, ...]]) -> None:
    said = command("--own", "--budget", "5")
    assert (said.returncode, asked) == (2, [])
    assert "--budget: the broker's own plan takes none" in said.stderr


def test_a_broker_that_ran_nothing_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(served.state_dir))
    with pytest.raises(InvalidInput, match="no job with a GPU has run yet"):
        broker.plan()


def test_without_a_broker_a_trace_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(tmp_path))
    with pytest.raises(DaemonError):
        broker.plan()
    said = command("--own")
    assert said.returncode == 3 and "or plan for a trace: `broker plan TRACE`" in said.stderr, said.stderr
