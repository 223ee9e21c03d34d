"""The independent referee and the recorded workloads, which lie beside the project where they are present."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from broker.decide.demand import Demand
from broker.decide.workload import Workload

SHARED = Path(__file__).parents[3] / "shared"
REFEREE = SHARED / "bench" / "referee.py"
needs_referee = pytest.mark.skipif(
    not REFEREE.exists(), reason="the referee and the recorded workloads lie beside the project, and are not here"
)


@cache
def referee() -> ModuleType:
    spec = importlib.util.spec_from_file_location("referee", REFEREE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["referee"] = module
    spec.loader.exec_module(module)
    return module


def recorded(name: str) -> Workload | Demand:
    """A recorded workload, as jobs or as a series of steps of five minutes."""
    table = pd.read_csv(SHARED / "traces" / f"{name}.csv.gz")
    if "time_s" in table:
        return Demand(step_s=300.0, gpus=referee().demand(table, 300.0))
    return Workload.of(table["submit_s"], table["duration_s"], table["gpus"])
