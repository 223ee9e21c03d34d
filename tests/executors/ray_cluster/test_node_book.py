"""What a cluster's nodes and attempts come to in a report of usage, without a cluster."""

from pathlib import Path
from typing import Any

import pytest

from broker.model.resources import Resources
from broker.model.usage import AttemptUsage
from executors.on_machine.reporting import reported
from executors.ray_cluster.node_book import NodeBook


def node(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "alive": True,
        "cpus": 2,
        "memory_bytes": 1,
        "gpus": 0,
        "gpu_model": "",
        "labels": {},
        "extra": {},
    }


@pytest.mark.parametrize(("since_ns", "named"), [(25, ["lives", "lost"]), (40, ["lives"])])
def test_a_gang_that_is_said_to_hold_a_lost_node_is_reported_only_on_nodes_that_are(
    tmp_path: Path, since_ns: int, named: list[str]
) -> None:
    book = NodeBook(tmp_path / "nodes.json", "")
    book.see([node("lives"), node("lost")], 10, {})
    book.see([node("lives")], 30, {})
    gang = [
        AttemptUsage(attempt_id="a", unit_id=name, resources=Resources(cpus=1), started_ns=20, ended_ns=ended_ns)
        for name, ended_ns in (("lives", None), ("lost", 30))
    ]
    usage = reported(50, book.units(since_ns), tuple(gang))
    assert sorted(unit.unit_id for unit in usage.units) == named
    assert sorted(attempt.unit_id for attempt in usage.attempts) == named
