"""Attaching to a cluster: a client of Ray's that is never answered is given up for another, and nobody else is."""

from pathlib import Path

import pytest

from broker.model.errors import Unreachable
from executors.ray_cluster import link
from executors.ray_cluster.link import GatewayLink

# In place of Ray, whose own client hangs when it wants to: one that says at once which process asked.
RAY = """
import os, sys, types

class exceptions:
    class RayError(Exception): pass

def remote(*_, **__): return lambda it: it
def init(**_): raise ConnectionError(f"asked by {os.getpid()}")

exceptions.RayActorError = exceptions.RayError
for name in ("util", "util.scheduling_strategies", "autoscaler", "autoscaler.sdk"):
    sys.modules[f"ray.{name}"] = types.ModuleType(f"ray.{name}")
strategies = sys.modules["ray.util.scheduling_strategies"]
strategies.NodeAffinitySchedulingStrategy = strategies.PlacementGroupSchedulingStrategy = None
"""


@pytest.mark.parametrize(("address", "answered"), [("ray://127.0.0.1:10001", True), ("127.0.0.1:6379", False)])
async def test_a_client_that_is_not_answered_is_followed_by_another(
    address: str, answered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray.py").write_text(RAY)
    monkeypatch.setattr(link, "CLIENT_TRIES_S", (0.0, 60.0))
    monkeypatch.setattr(link, "ATTACH_TIMEOUT_S", 0.0)
    gateway = GatewayLink("away", tmp_path / "gateway.log")
    with pytest.raises(Unreachable, match="asked by" if answered else "no answer within 0 s"):
        await gateway.connect({"address": address, "send_code": False}, {"PYTHONPATH": str(tmp_path)})
    assert gateway.pid is None and not gateway.alive
