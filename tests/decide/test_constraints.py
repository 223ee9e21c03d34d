from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.constraints import held_gpus, preference, resolve
from broker.decide.policy import PoolState
from broker.model.jobs import FunctionCall, JobSpec
from broker.model.offers import Tier
from broker.model.placement import Placement
from broker.model.pools import Capability, Isolation, Pool, PoolKind
from broker.model.resources import GIB, Gpu, Resources
from tests.decide.placing import cluster, decide_all, l4, node, offer, serverless, some_pools, spec, specs

NONE = frozenset[Capability]()
CALL = FunctionCall(blob="0" * 64, name="f", python="3.11")


@pytest.mark.parametrize(
    ("of", "pool", "constraint", "words"),
    [
        (spec(pools_allowed=("other", "ray/us")), cluster(region="eu-west"), "pools", "allows only other, ray/us"),
        (spec(pools_denied=("ray",)), cluster(), "pools", "denies this pool"),
        (spec(pools_denied=("ray/eu",)), cluster(region="eu-west"), "pools", "denies this pool"),
        (spec(regions=("eu",)), cluster(region="us-east"), "region", "must stay in eu; the pool is in us-east"),
        (spec(regions=("eu",)), cluster(region="europe"), "region", "europe"),
        (spec(regions=("eu",)), cluster(region=""), "region", "unknown region"),
        (spec(isolation=Isolation.DEDICATED), serverless(), "isolation", "shares it"),
        (spec(runtime="ray"), serverless(), "runtime", "no Ray"),
        (spec(function=CALL, run=None), cluster(capabilities=NONE), "function", "Python call"),
        (spec(image="debian:12"), serverless(), "image", "debian:12"),
        (spec(extra={"tpu": 1.0}), serverless(), "extra", "custom resources"),
        (
            spec(volumes={"d": "sets"}, volumes_at="local"),
            cluster(capabilities=frozenset({Capability.VOLUMES}), volumes="modal"),
            "volumes",
            "the volume sets, which is at local; the pool has volumes at modal",
        ),
        (spec(volumes={"d": "sets"}, volumes_at="local"), cluster(), "volumes", "has no volumes"),
        (
            spec(secret_files={"KEY": "KUBE"}),
            cluster(capabilities=NONE),
            "secret_files",
            "it needs the secret KUBE in a file; the pool makes none",
        ),
        (
            spec(volumes={"d": "sets"}, volumes_at="x", volumes_read_only=("sets",), project="speech"),
            cluster(capabilities=frozenset({Capability.VOLUMES}), volumes="x"),
            "volumes",
            "its project speech may only read the volume sets; the pool keeps no job from writing",
        ),
        (spec(volumes={"d": "sets"}, volumes_at="x"), cluster(capabilities=NONE, volumes="x"), "volumes", "sets"),
        (spec(num_nodes=2), cluster(max_units=4, capabilities=NONE), "nodes", "2 nodes at once"),
        (spec(num_nodes=2), cluster(), "nodes", "needs 2 nodes; the pool has 1 at most"),
        (spec(spot_policy="spot"), cluster(), "spot", "wants spot"),
        (spec(spot_policy="on-demand"), cluster(offers=(offer(tier=Tier.SPOT),)), "spot", "must not run on spot"),
        (spec(Gpu(model="H100")), cluster(), "gpu_model", "needs 1 H100; a node has 2 L4"),
        (spec(l4()), cluster(unit=node(gpus=0)), "gpu_model", "a node has none"),
        (spec(l4(10_000)), cluster(), "gpus", "needs 10,000 L4; a node has 2 L4"),
        (spec(l4(1.5)), cluster(), "gpus", "a fraction shares one GPU"),
        (spec(l4(1.5)), serverless(unit=node(gpus=2)), "gpus", "a fraction shares one GPU"),
        (spec(cpus=5), cluster(), "cpus", "needs 5 CPUs; a node has 4"),
        (spec(memory_bytes=9 * GIB), cluster(), "memory", "needs 9 GiB of memory; a node has 8 GiB"),
        (spec(disk_bytes=GIB), serverless(), "disk", "needs 1 GiB of disk; the pool does not say how much"),
    ],
)
def test_each_constraint_refuses_with_its_numbers(of: JobSpec, pool: Pool, constraint: str, words: str) -> None:
    ways, refusals = resolve(of, pool)
    assert ways == ()
    (refusal,) = refusals
    assert (refusal.pool, refusal.constraint, refusal.permanent) == (pool.name, constraint, True)
    assert words in refusal.message


@pytest.mark.parametrize(
    ("of", "pool"),
    [
        (spec(pools_allowed=("ray/eu",)), cluster(region="eu-west")),
        (spec(pools_denied=("ray/us",)), cluster(region="eu-west")),
        (spec(regions=("us-east", "eu-west")), cluster(region="eu-west")),
        (spec(isolation=Isolation.DEDICATED), cluster(isolation=Isolation.DEDICATED)),
        (spec(num_nodes=2), cluster(max_units=2)),
        (spec(spot_policy="spot"), cluster(offers=(offer(tier=Tier.SPOT),))),
    ],
)
def test_what_is_met_is_not_refused(of: JobSpec, pool: Pool) -> None:
    assert resolve(of, pool)[1] == ()


def test_what_is_not_asked_for_is_one_cpu_and_memory_in_proportion() -> None:
    (way,), _ = resolve(spec(), cluster(unit=node(cpus=4, gib=8)))
    assert way == Resources(cpus=1, memory_bytes=2 * GIB)
    (way,), _ = resolve(spec(cpus=3, memory_bytes=GIB), cluster(unit=node(cpus=4, gib=8)))
    assert way == Resources(cpus=3, memory_bytes=GIB)
    (way,), _ = resolve(spec(), serverless(unit=node(cpus=0.5, gib=1)))
    assert way == Resources(cpus=0.5, memory_bytes=GIB)


def test_a_fraction_of_a_gpu_is_shared_on_a_node_and_whole_in_a_container() -> None:
    (on_node,), _ = resolve(spec(l4(0.3)), cluster())
    (in_container,), _ = resolve(spec(l4(0.3)), serverless())
    assert (on_node.gpus, in_container.gpus) == (0.3, 1.0)


def test_each_choice_that_a_pool_has_is_a_way_and_order_is_kept() -> None:
    of = spec(Gpu(model="H100"), l4(2), l4(1), gpu_ordered=True)
    ways, refusals = resolve(of, cluster())
    assert [(way.gpu_model, way.gpus) for way in ways] == [("L4", 2), ("L4", 1)]
    assert [refusal.constraint for refusal in refusals] == ["gpu_model"]
    assert [preference(of, way) for way in ways] == [1, 2]
    any_model = replace(serverless(), gpu_models=("L4", "H100"))
    ways, _ = resolve(spec(Gpu(model="")), any_model)
    assert [way.gpu_model for way in ways] == ["L4", "H100"]


@pytest.mark.parametrize("count", [5e-324, 1e-12, 1e-9, 2e-9, 0.0009])
def test_the_smallest_fraction_is_a_thousandth_however_little_is_asked_for(count: float) -> None:
    assert held_gpus(count) == 1 / 1024


@given(count=st.floats(0.01, 0.99))
def test_fractions_count_as_the_next_power_of_a_half(count: float) -> None:
    held = held_gpus(count)
    assert count <= held + 1e-9 and held / 2 < count
    assert (1 / held).is_integer()


def may_run(of: JobSpec, pool: Pool, got: Placement) -> bool:
    """What a person would check by hand."""
    assert got.chosen is not None
    held, unit, asked = got.chosen.resources, pool.unit, of.resources
    whole = pool.kind is PoolKind.SERVERLESS
    gpus = {
        (gpu.model or pool.unit.gpu_model, float(-(-gpu.count // 1)) if whole else gpu.count)
        for gpu in asked.gpu_choices
    }
    named = [entry.split("/") for entry in of.pools_allowed]
    denied = [entry.split("/") for entry in of.pools_denied]
    spot = any(one.tier is Tier.SPOT for one in pool.offers)
    return all(
        (
            not named or any(name == pool.name and pool.region.startswith("".join(region)) for name, *region in named),
            not any(name == pool.name and pool.region.startswith("".join(region)) for name, *region in denied),
            not of.regions or any(pool.region.startswith(region) for region in of.regions),
            of.isolation is Isolation.SHARED or pool.isolation is Isolation.DEDICATED,
            of.runtime == "any" or Capability.RAY_RUNTIME in pool.capabilities,
            of.image is None or Capability.IMAGES in pool.capabilities,
            asked.num_nodes == 1 or Capability.GANG in pool.capabilities,
            asked.num_nodes <= pool.max_units,
            asked.spot_policy != "spot" or spot,
            asked.spot_policy != "on-demand" or not spot,
            (held.gpu_model, held.gpus) in gpus if gpus else not held.gpus,
            held.gpus <= 1 or held.gpus.is_integer(),
            held.gpus <= unit.gpus and held.cpus <= unit.cpus and held.memory_bytes <= unit.memory_bytes,
            asked.cpus is None or held.cpus == asked.cpus,
            asked.memory_bytes is None or held.memory_bytes == asked.memory_bytes,
        )
    )


@given(jobs=st.lists(specs(), min_size=1, max_size=4), pools=some_pools())
def test_nothing_runs_where_it_is_forbidden_whatever_the_prices(jobs: list[JobSpec], pools: list[PoolState]) -> None:
    by_name = {state.pool.name: state.pool for state in pools}
    for of, got in zip(jobs, decide_all(jobs, *pools), strict=True):
        assert got.chosen is None or may_run(of, by_name[got.chosen.pool], got)
