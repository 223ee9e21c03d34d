"""A recorded series of spot nodes → what jobs with a deadline would have cost there under each rule, one after another.

As in "Can't Be Late" (NSDI 2024): one job at a time, on a spot node while one can be had and on demand otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from broker.decide.rules import PlacementRules
from broker.decide.spot import SpotRule
from broker.model.jobs import Job, JobSpec, JobState, RetryPolicy
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.pools import Capability, Pool, PoolKind
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from simulator.jobs.terms import Spot
from simulator.virtual.broker import play
from simulator.virtual.from_trace import BEGAN_NS
from simulator.virtual.pool import Timing
from simulator.virtual.values import Manner, Site, Work

MODEL: Final = "V100"
NODE: Final = Resources(cpus=8, memory_bytes=32 * GIB, gpus=1, gpu_model=MODEL)
RULES: Final = ("on_demand", *SpotRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Jobs of one kind, and the two ways to buy a node for them."""

    hours: float = 8.0  # that a job runs
    slack: float = 1.5  # deadline over run time
    checkpoint_s: float = 600.0
    boot_s: float = 240.0
    spot: float = 0.3  # price over that on demand
    most: int = 40  # jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of the jobs under one rule."""

    jobs: int
    cost: float  # over that of running all on demand without a break, boots included
    late: int  # that missed their deadline


def played(levels: Spot, case: Case, rule: str) -> Played:
    """Plays as many jobs as the series is long for. `rule` is one of `RULES`."""
    works = list(_works(levels, case, rule))
    spot = Site(pool=_pool("spot", case, case.spot), timing=Timing(autoscales=True, node_idle_s=1), available=levels)
    on_demand = Site(pool=_pool("on-demand", case, 1.0), timing=Timing(autoscales=True, node_idle_s=1))
    chosen = SpotRule.CHEAPEST if rule == "on_demand" else SpotRule(rule)
    outcome = play(works, [spot, on_demand], Manner(rules=PlacementRules(spot_rule=chosen)))
    late = sum((each.job.ended_ns or 0) > (each.job.spec.deadline_ns or 0) for each in outcome.jobs)
    failed = sum(each.job.state is not JobState.SUCCEEDED for each in outcome.jobs)
    bare = len(works) * (case.hours + case.boot_s / 3_600)
    return Played(jobs=len(works), cost=outcome.usd / bare, late=late + failed)


def _works(levels: Spot, case: Case, rule: str) -> Iterator[Work]:
    """Each begins when the deadline of the one before is over, so that they never want two nodes."""
    every_s = case.hours * 3_600 * case.slack + 3_600
    spec = JobSpec(
        name="train",
        run="recorded",
        est_runtime_s=case.hours * 3_600,
        max_duration_s=case.hours * 3_600,
        checkpoint_every_s=case.checkpoint_s,
        retry=RetryPolicy(max_attempts=100_000, backoff_s=1.0, max_backoff_s=1.0),
        resources=ResourceRequest(
            gpu_choices=(Gpu(model=MODEL),), spot_policy="on-demand" if rule == "on_demand" else "auto"
        ),
    )
    for number in range(min(int(levels.period_s // every_s), case.most)):
        at_ns = BEGAN_NS + round(number * every_s * 1e9)
        deadline_ns = at_ns + round(case.hours * 3_600e9 * case.slack)
        job = Job(
            id=f"j{number:03}",
            spec=replace(spec, deadline_ns=deadline_ns),
            state=JobState.QUEUED,
            user="ann",
            submitted_ns=at_ns,
        )
        yield Work(job=job, seconds=case.hours * 3_600)


def _pool(name: str, case: Case, usd_per_hour: float) -> Pool:
    tier = Tier.SPOT if name == "spot" else Tier.ON_DEMAND
    offer = Offer(
        id=f"simulated/{name}",
        provider="simulated",
        product="node",
        sku=MODEL,
        region="",
        tier=tier,
        gpu_model=MODEL,
        gpu_count=1,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(str(usd_per_hour)),
        billing=BillingRule(granularity_s=1, minimum_s=60),
        valid_from=date(2025, 1, 1),
        source="the terms of a simulation",
    )
    return Pool(
        name=name,
        kind=PoolKind.CLUSTER,
        executor="simulated",
        unit=NODE,
        max_units=64,
        gpu_models=(MODEL,),
        offers=(offer,),
        capabilities=frozenset({Capability.SCALE}),
        cold_start_s=case.boot_s,
    )
