"""What a runner makes of an order, without Ray."""

import io
from pathlib import Path

import pytest

from broker.model.resources import GIB, Resources
from broker.testing.builders import launch_request
from broker.testing.builders import pool as a_pool
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.order import order_of
from executors.ray_cluster import runner


@pytest.mark.parametrize(("gpus", "seen"), [(0.0, ""), (0.5, "3"), (1.0, "3")])
def test_only_work_that_holds_gpus_sees_those_of_its_task(
    gpus: float, seen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray leaves the variable of the node as it is for a task without GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    held = Resources(cpus=1, memory_bytes=GIB, gpus=gpus, gpu_model="H100" if gpus else "")
    order = order_of(launch_request(resources=held), a_pool(), 1_000, str(tmp_path))
    folder = AttemptDir(tmp_path / "attempt")
    folder.make()
    _, variables = runner._prepare(order, folder, io.BytesIO())
    assert variables["CUDA_VISIBLE_DEVICES"] == seen
