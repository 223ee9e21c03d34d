"""RayClusters of attempts priced by nodes of the price book: what is quoted, requested, metered and charged agree."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.charge import settle
from broker.decide.pool_state import PoolState
from broker.decide.quote import quote
from broker.model.errors import InvalidInput
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S, Money
from broker.model.offers import BillingRule
from broker.model.placement import Duration, Quote
from broker.model.pools import Capability, Capacity, Pool
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.model.usage import AttemptUsage, ChargeKind, UnitUsage, UsageReport
from broker.run.money.ledger import prices
from broker.run.settings.load import load_settings
from broker.testing.builders import job_spec, launch_request, offer
from executors.kuberay import KubeRayJobs
from executors.kuberay.manifests import Manifests
from executors.kuberay.options import Options
from tests.executors.kuberay.driving import open_pool, own_pool_of
from tests.executors.kuberay.server.service import Cluster

START_NS = 1_795_000_000 * NS_PER_S
EIGHT = "aws/ec2/p5.48xlarge/us-east-1/on_demand"
ONE = "aws/ec2/g6.xlarge/us-east-1/spot"
HEAD = "aws/ec2/m7i.xlarge/us-east-1/on_demand"
BY_THE_HOUR = BillingRule(granularity_s=3600, minimum_s=3600)  # of a node, whose pods come and go
BOOK = (
    offer(
        EIGHT,
        gpu_model="H100",
        gpu_count=8.0,
        cpus=192.0,
        memory_gib=2048.0,
        usd_per_hour=Decimal("36"),
        billing=BY_THE_HOUR,
    ),
    offer(
        ONE, gpu_model="L4", gpu_count=1.0, cpus=4.0, memory_gib=16.0, usd_per_hour=Decimal("0.36"), billing=BY_THE_HOUR
    ),
    offer(HEAD, cpus=4.0, memory_gib=16.0, usd_per_hour=Decimal("0.18"), billing=BY_THE_HOUR),
)
POOL = """
[pools.gangs]
executor = "kuberay_jobs"
kind = "serverless"
cpus = {cpus}
memory = "{gib}GiB"
accelerators = "{gpus}"
max_containers = 8
scaledown_window = "0s"
cold_start = "240s"
price = {{ offer = "{offer}"{more} }}
head_price = {{ offer = "{head}" }}
options = {{ image = "rayproject/ray:2.60.0" }}
"""


def pool_of(folder: Path, gpus: str, cpus: int, gib: int, offer_id: str, more: str = "") -> Pool:
    file = folder / "broker.toml"
    file.write_text(POOL.format(gpus=gpus, cpus=cpus, gib=gib, offer=offer_id, head=HEAD, more=more))
    (pool,) = load_settings(file, {}).pools(BOOK, lambda _: KubeRayJobs.capabilities)
    return pool


def quoted(pool: Pool, spec: JobSpec, run_s: float) -> Quote:
    empty = Capacity(as_of_ns=START_NS, units=(), max_units=pool.max_units, extra_bytes=KubeRayJobs.extra_bytes)
    took = Duration(p50_s=run_s, p90_s=run_s, source="known")
    (option,) = quote(spec, PoolState(pool=pool, capacity=empty), took, START_NS).options
    return option.quote


def requested(pool: Pool, spec: JobSpec, held: Resources) -> Resources:
    """What a worker's pod asks Kubernetes for."""
    options = Options.of(pool.name, pool.options)
    job = Manifests(pool, options, "abc").own_ray_job(launch_request(spec=spec, resources=held), {})
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    asked = group["template"]["spec"]["containers"][0]["resources"]["requests"]
    gpus = float(asked.get(options.gpu_resource, 0))
    model = held.gpu_model if gpus else ""
    return Resources(cpus=float(asked["cpu"]), memory_bytes=int(asked["memory"]), gpus=gpus, gpu_model=model)


def used(pool: Pool, spec: JobSpec, held: Resources, run_s: float) -> UsageReport:
    """A head and workers that begin at once, are ready when it is thought, and end with their attempt."""
    ready_ns = START_NS + round(pool.cold_start_s * NS_PER_S)
    ended_ns = ready_ns + round(run_s * NS_PER_S)
    head = UnitUsage(
        unit_id="head",
        resources=Resources(cpus=2.0, memory_bytes=8 * GIB),
        started_ns=START_NS,
        ready_ns=ready_ns,
        ended_ns=ended_ns,
        caused_by="a",
        head=True,
    )
    has = requested(pool, spec, held)
    workers = [
        replace(head, unit_id=f"w{number}", resources=has, head=False) for number in range(spec.resources.num_nodes)
    ]
    holds = [
        AttemptUsage(attempt_id="a", unit_id=each.unit_id, resources=held, started_ns=ready_ns, ended_ns=ended_ns)
        for each in workers
    ]
    return UsageReport(as_of_ns=ended_ns + 1, units=(head, *workers), attempts=tuple(holds))


def charged(pool: Pool, report: UsageReport) -> Money:
    charges = settle(pool, 0, (), report, prices(pool))
    assert {charge.attempt_id for charge in charges} == {"a"}
    assert ChargeKind.IDLE_TAIL not in {charge.kind for charge in charges}
    return Money.total(charge.amount for charge in charges if charge.amount is not None)


def asking(gpus: float = 0, model: str = "", cpus: float = 1, gib: float = 1, nodes: int = 1) -> JobSpec:
    choices = (Gpu(model=model, count=gpus),) if gpus else ()
    wanted = ResourceRequest(gpu_choices=choices, cpus=cpus, memory_bytes=round(gib * GIB), num_nodes=nodes)
    return job_spec("true", runtime="ray", resources=wanted)


@pytest.mark.parametrize(
    ("pool", "spec", "hourly"),
    [
        # A worker has all that is on a node, or the only GPU of it.
        (("L4:1", 3, 12, ONE), asking(1, "L4", cpus=3, gib=12), "0.36"),
        (("L4:1", 3, 12, ONE), asking(1, "L4", cpus=1, gib=1, nodes=2), "0.72"),
        # Eight of the largest workers fit on a node, by its GPUs.
        (("H100:1", 20, 200, EIGHT), asking(1, "H100", cpus=20, gib=200), "4.50"),
        (("H100:1", 20, 200, EIGHT), asking(1, "H100", cpus=2, gib=10, nodes=8), "36"),
        # One fits, and a smaller one has the part of its GPUs.
        (("H100:8", 180, 1900, EIGHT), asking(2, "H100", cpus=20, gib=200), "9"),
        # Without a GPU: the part of the CPUs, or of the memory with the GiB that Ray takes.
        (("L4:1", 4, 12, ONE), asking(cpus=3, gib=1), "0.27"),
        (("L4:1", 4, 12, ONE), asking(cpus=1, gib=5), "0.18"),
        # Where it is said: each of the largest has a node for itself, and two of them.
        (("H100:1", 20, 200, EIGHT, ", count = 1"), asking(1, "H100"), "36"),
        (("L4:2", 8, 32, ONE, ", count = 2"), asking(2, "L4"), "0.72"),
    ],
)
def test_a_worker_costs_its_part_of_a_node_by_the_second(
    tmp_path: Path, pool: tuple[str, int, int, str], spec: JobSpec, hourly: str
) -> None:
    """Ten minutes after a start of four, with a head that costs $0.18 an hour; whatever a node's billing is."""
    made = pool_of(tmp_path, *pool)
    found = quoted(made, spec, 600.0)
    assert found.full == Money.of_usd((Decimal(hourly) + Decimal("0.18")) * 840 / 3600)
    assert charged(made, used(made, spec, found.resources, 600.0)) == found.full


@given(
    gpus=st.integers(0, 3),
    cpus=st.integers(1, 60),
    gib=st.integers(1, 600),
    nodes=st.integers(1, 8),
    run_ms=st.integers(1, 10**7),
)
def test_what_is_quoted_is_charged_when_its_times_are_as_thought(
    made: Pool, gpus: int, cpus: int, gib: int, nodes: int, run_ms: int
) -> None:
    spec = asking(gpus, "H100", cpus=cpus, gib=gib, nodes=nodes)
    found = quoted(made, spec, run_ms / 1000)
    report = used(made, spec, found.resources, run_ms / 1000)
    assert found.full is not None
    rounded = 3 + 2 * nodes  # nanodollars: lines of the quote, and charges, are rounded one by one
    assert abs(charged(made, report).nanodollars - found.full.nanodollars) <= rounded


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Two of the largest workers fit on a node."""
    return pool_of(tmp_path_factory.mktemp("pool"), "H100:3", 60, 600, EIGHT)


def test_the_price_that_is_kept_says_what_it_is_of(tmp_path: Path) -> None:
    eighth = pool_of(tmp_path, "H100:1", 20, 200, EIGHT).offers[0]
    assert (eighth.id, eighth.gpu_count, eighth.usd_per_hour) == (
        "aws/ec2/1of8-p5.48xlarge/us-east-1/on_demand",
        1.0,
        Decimal("4.5"),
    )
    assert eighth.note == f"1/8 of {EIGHT}" and eighth.billing == BillingRule()
    third = pool_of(tmp_path, "H100:2", 60, 600, EIGHT).offers[0]
    assert third.usd_per_hour == Decimal("12")
    seventh = pool_of(tmp_path, "H100:1", 27, 200, EIGHT).offers[0]
    assert seventh.usd_per_hour == Decimal("5.142857143"), "to the nanodollar"


async def test_pods_are_as_large_as_they_were_quoted(cluster: Cluster, tmp_path: Path) -> None:
    """The largest worker has 4 GiB; one for a job of 1 GiB has 2, since Ray takes one."""
    priced, largest = BOOK[1], Resources(cpus=2.0, memory_bytes=4 * GIB)
    fields = {"unit": largest, "offers": (priced,), "capabilities": KubeRayJobs.capabilities}
    pool = own_pool_of(cluster, **fields)
    async with open_pool(cluster, tmp_path / "state", own=True, **fields) as watch:
        capacity = await watch.executor.capacity()
        spec = asking(cpus=1, gib=1, nodes=2)
        took = Duration(p50_s=3600.0, p90_s=3600.0, source="known")
        (option,) = quote(spec, PoolState(pool=pool, capacity=capacity), took, START_NS).options
        assert option.quote.full == Money.of_usd("0.36"), "half of the largest worker, twice"
        request = launch_request("true", spec=spec, resources=option.quote.resources)
        await watch.run(request)
        usage = await watch.executor.usage(0)
        workers = [unit for unit in usage.units if not unit.head]
        assert len(workers) == 2 and {unit.resources for unit in workers} == {option.spot.total}
        assert option.spot.total == Resources(cpus=1.0, memory_bytes=2 * GIB)


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (("L4:1", 8, 12, ONE), "with 4 CPUs, and a container here may have 8"),
        (("L4:1", 4, 17, ONE), "with 16 GiB, and a container here may have 17"),
        (("L4:2", 4, 12, ONE), "say count = 2"),
        (("L4:1", 4, 12, EIGHT), "with 8 H100, not of L4"),
    ],
)
def test_a_worker_that_fits_on_no_such_node_is_refused(
    tmp_path: Path, pool: tuple[str, int, int, str], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        pool_of(tmp_path, *pool)


def test_a_pool_whose_containers_are_on_no_nodes_has_no_such_price(tmp_path: Path) -> None:
    pool_of(tmp_path, "L4:1", 3, 12, ONE)
    can = KubeRayJobs.capabilities - {Capability.NODE_SHARES}
    with pytest.raises(InvalidInput, match="is a price of spot, which is none of a serverless pool"):
        load_settings(tmp_path / "broker.toml", {}).pools(BOOK, lambda _: can)
