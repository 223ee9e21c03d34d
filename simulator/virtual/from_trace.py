"""A recorded workload and terms → jobs that a broker could be given, and two pools that could run them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from broker.decide.workload import Workload
from broker.model.jobs import Job, JobSpec, JobState, RetryPolicy
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.pools import Capability, Pool, PoolKind
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from simulator.jobs import random_draws
from simulator.jobs.terms import Terms
from simulator.virtual.pool import Timing
from simulator.virtual.values import Site, Work

MODEL = "H100"  # that the recorded GPUs are taken for
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)  # second 0 of a workload: a Monday
BEGAN_NS = round(BEGAN.timestamp()) * 10**9
CLUSTER, SERVERLESS, SPOT = "cluster", "serverless", "spot"
CPUS_PER_GPU, GIB_PER_CPU = 8.0, 4.0  # what is short is GPUs
MANY = 1_000_000  # containers that there may be


def works(
    workload: Workload,
    terms: Terms,
    *,
    wait_s: float | None = 0.0,
    error: float | None = 0.0,
    slack: float | None = None,
) -> Iterator[Work]:
    """The jobs of a workload, of users who let them wait so long, or say nothing of it (None).

    `error` is that of the run times that users say, as a deviation of their logarithm; with None they say nothing, and
    the broker has but the past runs of each user. `slack` gives each a deadline, so many run times after submission,
    and what a job needs to keep one on spot: checkpoints as the terms say, as many attempts as it takes, and a limit of
    its run time that is known.
    """
    for number in range(len(workload)):
        seconds, gpus = float(workload.duration_s[number]), float(workload.gpus[number])
        nodes = max(math.ceil(gpus / terms.node_gpus - 1e-9), 1)
        said = None
        if error is not None:
            said = (
                seconds * math.exp(error * random_draws.normal(terms.seed, random_draws.ESTIMATE, number))
                if error
                else seconds
            )
        each = gpus if nodes == 1 else terms.node_gpus
        spec = JobSpec(
            name=workload.kind.names[workload.kind.codes[number]] or "job",
            run="recorded",
            est_runtime_s=said,
            max_wait_s=wait_s,
            resources=ResourceRequest(
                gpu_choices=(Gpu(model=MODEL, count=each),), cpus=CPUS_PER_GPU * each, num_nodes=nodes
            ),
        )
        submitted_ns = BEGAN_NS + round(float(workload.submit_s[number]) * 1e9)
        if slack is not None:
            spec = _with_deadline(spec, terms, submitted_ns, seconds, slack)
        user = workload.user.names[workload.user.codes[number]] or "user"
        job = Job(id=f"j{number:08d}", spec=spec, state=JobState.QUEUED, user=user, submitted_ns=submitted_ns)
        yield Work(job=job, seconds=seconds)


def _with_deadline(spec: JobSpec, terms: Terms, submitted_ns: int, seconds: float, slack: float) -> JobSpec:
    return replace(
        spec,
        est_runtime_s=seconds,
        max_duration_s=seconds,
        checkpoint_every_s=terms.checkpoint_s if math.isfinite(terms.checkpoint_s) else None,
        deadline_ns=submitted_ns + round((seconds * slack + terms.cold_start_s + 1.0) * 1e9),
        retry=RetryPolicy(max_attempts=1_000_000, max_backoff_s=1.0),
    )


def spot_site(terms: Terms, most: int) -> Site:
    """Spot nodes, where and when they can be had."""
    pool = Pool(
        name=SPOT,
        kind=PoolKind.CLUSTER,
        executor="simulated",
        unit=_resources(terms.node_gpus),
        max_units=most,
        gpu_models=(MODEL,),
        offers=(
            _offer(
                Tier.SPOT, terms.spot * terms.node_gpus, terms.node_gpus, terms.node_billing_s, terms.node_minimum_s
            ),
        ),
        capabilities=frozenset({Capability.GANG, Capability.SCALE}),
        cold_start_s=terms.boot_s,
    )
    return Site(pool=pool, timing=Timing(node_idle_s=terms.node_idle_s, autoscales=True), available=terms.availability)


def sites(terms: Terms, nodes: int, most: int, *, autoscales: bool = False) -> tuple[Site, Site]:
    """A cluster with so many nodes, that may grow to `most`, and serverless containers; at the terms' prices."""
    unit = _resources(terms.node_gpus)
    scale = {Capability.SCALE} if most > nodes else set()
    cluster = Pool(
        name=CLUSTER,
        kind=PoolKind.CLUSTER,
        executor="simulated",
        unit=unit,
        max_units=most,
        gpu_models=(MODEL,),
        offers=(_node_offer(terms),),
        capabilities=frozenset({Capability.GANG, *scale}),
        cold_start_s=terms.boot_s,
    )
    serverless = Pool(
        name=SERVERLESS,
        kind=PoolKind.SERVERLESS,
        executor="simulated",
        unit=unit,
        max_units=MANY,
        gpu_models=(MODEL,),
        offers=(_container_offer(terms),),
        capabilities=frozenset({Capability.GANG}),
        cold_start_s=terms.cold_start_s,
        scaledown_window_s=terms.scaledown_window_s,
    )
    timing = Timing(node_idle_s=terms.node_idle_s, autoscales=autoscales)
    return Site(pool=cluster, timing=timing, nodes=nodes), Site(pool=serverless)


def _resources(gpus: float) -> Resources:
    cpus = CPUS_PER_GPU * gpus
    return Resources(cpus=cpus, memory_bytes=int(cpus * GIB_PER_CPU * GIB), gpus=gpus, gpu_model=MODEL)


def _node_offer(terms: Terms) -> Offer:
    price, gpus = terms.cluster * terms.node_gpus, terms.node_gpus
    return _offer(Tier.ON_DEMAND, price, gpus, terms.node_billing_s, terms.node_minimum_s)


def _container_offer(terms: Terms) -> Offer:
    return _offer(Tier.SERVERLESS, terms.serverless, 1, terms.container_billing_s, terms.container_minimum_s)


def _offer(tier: Tier, per_hour: float, gpus: float, granularity_s: float, minimum_s: float) -> Offer:
    return Offer(
        id=f"simulated/{tier}/{MODEL}/any/{tier}".lower(),
        provider="simulated",
        product=str(tier),
        sku=MODEL,
        region="",
        tier=tier,
        gpu_model=MODEL,
        gpu_count=gpus,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(repr(per_hour)),
        billing=BillingRule(granularity_s=max(round(granularity_s), 1), minimum_s=round(minimum_s)),
        valid_from=date(2025, 1, 1),
        source="the terms of a simulation",
    )
