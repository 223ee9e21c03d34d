"""A Ray pool's options: the example's are taken, wrong ones are refused with what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import Misconfigured
from broker.model.pools import PoolKind
from broker.model.resources import Resources
from broker.ports import ExecutorContext
from broker.run.build import capabilities
from broker.run.plugins import price_offers
from broker.run.settings import load_settings
from broker.testing import builders
from broker.testing.fakes import FakeClock
from executors.ray_cluster import RayCluster
from executors.ray_cluster.options import Options
from executors.ray_cluster.pending_attempts import PendingAttempts
from executors.ray_cluster.targets import request
from executors.remote.room import Need, Room, Share, nodes_for

EXAMPLE = Path(__file__).parents[3] / "examples" / "pools" / "ray.toml"
NODE = Share(resources=Resources(cpus=4, memory_bytes=100, gpus=2, gpu_model="L4"))


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    settings = load_settings(EXAMPLE, {"BROKER_STATE_DIR": str(tmp_path)})
    pools = {pool.name: pool for pool in settings.pools(price_offers(), capabilities)}
    options = {name: Options.of(name, pool.options) for name, pool in pools.items() if pool.executor == "ray"}
    assert {name: each.labels for name, each in options.items()} == {"h100": {"kind": "h100"}, "l4": {"kind": "l4"}}
    assert all(pools[name].offers for name in options)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"address": "http://10.0.0.5:8265"}, "address"),
        ({"address": "10.0.0.5"}, "address"),
        ({"address": ":6379"}, "address"),
        ({"labels": {"kind": "h100"}}, "labels"),
        ({"address": "h:1", "labels": {"kind": 5}}, "labels"),
        ({"address": "h:1", "labels": "kind=h100"}, "labels"),
        ({"address": "h:1", "token_file": "a", "token_env": "b"}, "token_env"),
        ({"address": "h:1", "node_wait_s": "10"}, "node_wait_s"),
        ({"preload": "numpy"}, "preload"),
        ({"preload": [1]}, "preload"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        Options.of("p", given)


def test_a_cluster_that_is_not_ours_has_no_head_that_we_pay(tmp_path: Path) -> None:
    pool = builders.pool("p", kind=PoolKind.CLUSTER, head_offers=(builders.offer(),))
    with pytest.raises(Misconfigured, match="pool p: head_price is of a cluster whose machines the broker makes"):
        RayCluster(ExecutorContext(pool=pool, state_dir=tmp_path, clock=FakeClock()))


shares = st.builds(
    lambda cpus, gpus: Share(resources=Resources(cpus=cpus, memory_bytes=1, gpus=gpus, gpu_model="L4" if gpus else "")),
    st.integers(1, 4),
    st.integers(0, 2),
)
needs = st.lists(st.builds(lambda share, nodes: Need(share=share, nodes=nodes), shares, st.integers(1, 3)), max_size=8)


@given(needs)
def test_so_many_empty_nodes_hold_all_that_waits_and_there_are_no_more_than_one_each(waiting: list[Need]) -> None:
    room = Room()
    room.nodes({f"n{number:02}": NODE for number in range(nodes_for(waiting, NODE))})
    assert nodes_for(waiting, NODE) <= sum(need.nodes for need in waiting)
    work = sum(need.share.resources.cpus * need.nodes for need in waiting)
    assert nodes_for(waiting, NODE) >= work / NODE.resources.cpus


@given(needs, st.integers(0, 5), st.integers(0, 5))
def test_never_more_nodes_are_asked_for_than_a_pool_may_have(waiting: list[Need], target: int, most: int) -> None:
    pending, room = PendingAttempts(NODE, most), Room()
    pending.aim(min(target, most))
    for number, need in enumerate(waiting):
        pending.add(f"a{number}", need, 10, 0)
    assert (pending.to_request(room) or 0) <= most
    assert pending.to_request(room) is None


def test_what_waited_is_placed_oldest_first_and_what_waited_too_long_is_given_back() -> None:
    pending, room = PendingAttempts(NODE, 1), Room()
    whole, small = Need(share=NODE), Need(share=Share(resources=Resources(cpus=1, memory_bytes=1)))
    assert pending.add("first", whole, 10, 0)
    assert not pending.add("second", whole, 10, 0)
    assert not pending.add("third", small, 10, 1)
    assert pending.to_request(room) == 1
    room.nodes({"n": NODE})
    assert pending.served(room) == {"first": ["n"]}
    assert pending.to_request(room) == 0
    assert pending.add("fourth", small, 10, 0)
    assert (pending.expired(9), pending.expired(10)) == ([], ["fourth"])


def test_the_pools_of_a_cluster_ask_together() -> None:
    bundles, labels = request({"a": (2, {"CPU": 4.0}, {"kind": "a"}), "b": (1, {"GPU": 1.0}, {})})
    assert bundles == [{"CPU": 4.0}, {"CPU": 4.0}, {"GPU": 1.0}]
    assert labels == [{"kind": "a"}, {"kind": "a"}, {}]
