"""Lives of rented machines, whatever their provider's clock says."""

from dataclasses import replace
from pathlib import Path

import pytest

from broker.model.money import NS_PER_S
from broker.model.nodes import Node, NodeCluster, NodeState
from broker.model.offers import Tier
from broker.model.resources import GIB, Resources
from executors.ray_cluster.machine_book import MachineBook

UNIT = Resources(cpus=4, memory_bytes=GIB)
NOW = 1_795_000_000 * NS_PER_S
NODE = Node(
    node_id="i-1",
    state=NodeState.RUNNING,
    head=False,
    sku="g6.xlarge",
    tier=Tier.SPOT,
    zone="a",
    address="10.0.0.2",
    started_ns=NOW,
)


def cluster(*nodes: Node) -> NodeCluster:
    return NodeCluster(
        name="c", provider="aws", region="r", wanted=1, head_works=False, endpoint="ray://h", nodes=nodes
    )


@pytest.mark.parametrize(("ahead_s", "from_s"), [(3_600, 0), (-120, -120)])
def test_a_machine_is_never_paid_from_a_time_that_has_not_come(tmp_path: Path, ahead_s: int, from_s: int) -> None:
    book = MachineBook(tmp_path / "machines.json", UNIT)
    node = replace(NODE, started_ns=NOW + ahead_s * NS_PER_S)
    for after_s in (0, 30, 7_200):
        book.rented(cluster(node), NOW + after_s * NS_PER_S)
    (unit,) = book.units()
    assert (unit.started_ns, unit.ended_ns) == (NOW + from_s * NS_PER_S, None)
    book.rented(cluster(), NOW + 7_230 * NS_PER_S)
    (unit,) = book.units()
    assert unit.ended_ns == NOW + 7_230 * NS_PER_S > unit.started_ns


@pytest.mark.parametrize("works", [True, False])
def test_a_head_is_paid_too_and_is_a_node_only_where_it_works(tmp_path: Path, works: bool) -> None:
    book = MachineBook(tmp_path / "machines.json", UNIT)
    head = replace(NODE, node_id="i-head", head=True)
    book.rented(replace(cluster(head, NODE), head_works=works), NOW)
    assert {unit.unit_id: (unit.head, unit.resources) for unit in book.units()} == {
        "i-head": (not works, UNIT if works else Resources()),
        "i-1": (False, UNIT),
    }
    assert book.count() == len(book.booting()) == (2 if works else 1)
    book.rented(None, NOW + NS_PER_S)
    assert all(unit.ended_ns == NOW + NS_PER_S for unit in book.units())


def test_a_machine_that_is_seen_again_after_its_end_is_not_paid_anew(tmp_path: Path) -> None:
    """What was charged up to its end stays; a broker that starts again knows it."""
    book = MachineBook(tmp_path / "machines.json", UNIT)
    book.rented(cluster(NODE), NOW)
    book.rented(None, NOW + NS_PER_S)
    again = MachineBook(tmp_path / "machines.json", UNIT)
    again.rented(cluster(replace(NODE, state=NodeState.ENDING)), NOW + 2 * NS_PER_S)
    (unit,) = again.units()
    assert (unit.ended_ns, again.count()) == (NOW + NS_PER_S, 0)
