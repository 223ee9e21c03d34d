"""Each GPU of a machine belongs to one pool, and who can't have what it needs is told who has it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput
from broker.model.pools import Pool
from broker.model.resources import GIB
from broker.run.settings import load_settings
from broker.run.settings.gpu_devices import shared_out
from broker.run.settings.machine import Machine
from broker.run.settings.pool_document import PoolPart

NAMES = ("a", "b", "c", "d")


def cluster(gpus: int, nodes: int) -> PoolPart:
    return PoolPart.model_validate(
        {"executor": "ray", "kind": "cluster", "accelerators": f"L4:{gpus}", "max_nodes": nodes}
    )


def serverless(gpus: float, containers: int) -> PoolPart:
    return PoolPart.model_validate(
        {
            "executor": "local_serverless",
            "kind": "serverless",
            "accelerators": f"L4:{gpus:g}",
            "max_containers": containers,
        }
    )


PARTS = st.builds(cluster, st.integers(1, 4), st.integers(1, 3)) | st.builds(
    serverless, st.sampled_from([0.5, 1.0, 2.0]), st.integers(1, 20)
)


@given(st.dictionaries(st.sampled_from(NAMES), PARTS), st.integers(0, 16))
def test_no_gpu_is_in_two_pools_and_whoever_is_not_refused_has_enough(parts: dict[str, PoolPart], count: int) -> None:
    devices, wrong = shared_out(parts, count)
    given_out = [one for held in devices.values() for one in held]
    assert len(set(given_out)) == len(given_out)
    assert set(given_out) <= set(range(count))
    for name, part in parts.items():
        assert part.accelerators is not None
        (gpu,) = part.accelerators.choices
        if name not in wrong and part.kind == "cluster":
            assert len(devices[name]) == gpu.count * (part.max_nodes or 1)
        elif name not in wrong:
            assert gpu.count <= len(devices[name]) <= -(-gpu.count // 1) * (part.max_containers or 1)


def test_a_cluster_comes_before_the_serverless_pool_that_is_named_first() -> None:
    devices, wrong = shared_out({"burst": serverless(1, 8), "ray": cluster(2, 1)}, 4)
    assert (devices, wrong) == ({"ray": (0, 1), "burst": (2, 3)}, {})


def pools(folder: Path, text: str, machine: Machine) -> dict[str, Pool]:
    (folder / "broker.toml").write_text(text)
    found = load_settings(folder / "broker.toml", {}).pools((), lambda _: frozenset(), machine)
    return {pool.name: pool for pool in found}


RAY = "[pools.ray]\nexecutor = 'ray'\nkind = 'cluster'\nmax_nodes = 1\naccelerators = 'L4:2'\n"
BURST = "[pools.burst]\nexecutor = 'local_serverless'\nkind = 'serverless'\nmax_containers = 8\naccelerators = 'L4:1'\n"


def l4s(count: int) -> Machine:
    return Machine(cpus=4, memory_bytes=8 * GIB, gpu_count=count, gpu_model="L4")


def test_a_gpu_that_the_cluster_holds_is_not_sold_again(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        pools(tmp_path, BURST + RAY, l4s(2))
    who = "1 is wanted, and this machine has 2 GPUs, of which other pools have some already: ray (2)"
    assert f"pools.burst.accelerators: {who}" in str(refused.value)
    found = pools(tmp_path, BURST + RAY, l4s(3))
    assert (found["ray"].devices, found["burst"].devices, found["burst"].most_gpus) == ((0, 1), (2,), 1)


def test_logical_gpus_and_those_elsewhere_take_none(tmp_path: Path) -> None:
    elsewhere = "cpus = 4\nmemory = '8GiB'\noptions = {address = '10.0.0.5:6379'}\n"
    found = pools(tmp_path, RAY + elsewhere + BURST + "emulated = true\n", l4s(1))
    assert [pool.devices for pool in found.values()] == [(), ()]


def test_another_model_than_the_machine_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"pools.ray.accelerators: this machine's GPUs are H100, not L4"):
        pools(tmp_path, RAY, Machine(cpus=4, memory_bytes=8 * GIB, gpu_count=2, gpu_model="H100"))
    assert pools(tmp_path, RAY, Machine(cpus=4, memory_bytes=8 * GIB, gpu_count=2))["ray"].devices == (0, 1)
