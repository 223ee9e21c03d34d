"""Values that a store keeps, each in one call, with something in every field that can get lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from broker.model.jobs import (
    Attempt,
    AttemptState,
    Cause,
    FunctionCall,
    Job,
    JobSpec,
    JobState,
    RetryPolicy,
    StateChange,
)
from broker.model.money import NS_PER_S, Money
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.placement import CostLine, Duration, Placement, Quote, Refusal, Verdict
from broker.model.pools import Isolation
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.model.usage import AttemptUsage, Book, Charge, ChargeKind, UnitUsage, UsageReport

NOW_NS: Final = 1_790_000_000 * NS_PER_S
HELD: Final = Resources(cpus=4, memory_bytes=8 * GIB, gpus=0.5, gpu_model="H100", disk_bytes=GIB)

PREDICTED: Final = Money(5_000)

FULL_SPEC: Final = JobSpec(
    name="train",
    run="python train.py --name 'Zoë'",
    argv=("python", "train.py"),
    function=FunctionCall(blob="ab" * 32, name="main.train", python="3.11", inputs="cd" * 32),
    setup="pip list",
    requirements=("torch==2.5", "numpy"),
    system_packages=("ffmpeg",),
    workdir="/home/me/project",
    file_mounts={"/data": "./data"},
    volumes={"/checkpoints": "runs"},
    volumes_at="local",
    volumes_read_only=("runs",),
    envs={"EPOCHS": "3"},
    secrets=("HF_TOKEN",),
    secret_files={"KUBECONFIG": "KUBE"},
    image="python:3.11",
    resources=ResourceRequest(
        gpu_choices=(Gpu(model="H100", count=8), Gpu(model="", count=0.5)),
        gpu_ordered=True,
        cpus=4.5,
        memory_bytes=GIB,
        disk_bytes=2 * GIB,
        num_nodes=2,
        spot_policy="spot",
        max_hourly_cost="12.50",
        extra={"tpu": 0.1},
    ),
    max_duration_s=3600.5,
    retry=RetryPolicy(on=frozenset(Cause), max_attempts=5, backoff_s=2.5, max_backoff_s=60, within_s=9.5),
    deadline_ns=NOW_NS + NS_PER_S,
    max_wait_s=60.0,
    checkpoint_every_s=600.0,
    est_runtime_s=30.0,
    max_cost_usd="100.000000001",
    array_size=3,
    matrix={"LR": ("0.1", "0.2")},
    project="vision",
    tags={"team": "vision", "run": "7"},
    priority=70,
    client_id="my-id",
    pools_allowed=("home",),
    pools_denied=("cloud/us",),
    regions=("eu",),
    isolation=Isolation.DEDICATED,
    runtime="ray",
)


def job(job_id: str, **fields: Any) -> Job:
    """A queued job; `tags`, `name`, `priority` are those of its spec."""
    spec = fields.pop("spec", None) or JobSpec(
        name=fields.pop("name", "work"),
        argv=("true",),
        tags=fields.pop("tags", {}),
        priority=fields.pop("priority", 50),
    )
    values: dict[str, Any] = {"state": JobState.QUEUED, "user": "ann", "submitted_ns": NOW_NS}
    return Job(id=job_id, spec=spec, **values | fields)


def array(array_id: str, size: int, **fields: Any) -> list[Job]:
    """The tasks of an array, which share one spec."""
    first = job(f"{array_id}.0", array_id=array_id, array_index=0, **fields)
    return [
        replace(first, id=f"{array_id}.{index}", array_index=index, task_envs={"INDEX": str(index)})
        for index in range(size)
    ]


def attempt(of: Job, number: int = 1, **fields: Any) -> Attempt:
    """An attempt of a job, stored."""
    values: dict[str, Any] = {
        "pool": "home",
        "resources": HELD,
        "state": AttemptState.STORED,
        "stored_ns": NOW_NS + number,
    }
    return Attempt(id=f"{of.id}-a{number}", job_id=of.id, number=number, **values | fields)


def change(of: Job, new: str, **fields: Any) -> StateChange:
    """A change of a job's state."""
    values: dict[str, Any] = {"at_ns": NOW_NS, "attempt_id": None, "old": of.state.value, "reason": "why"}
    return StateChange(job_id=of.id, new=new, **values | fields)


def quote(pool: str = "home", full: Money | None = PREDICTED, **fields: Any) -> Quote:
    """A quote with all its parts."""
    values: dict[str, Any] = {
        "resources": HELD,
        "start_in_s": 1.5,
        "duration": Duration(p50_s=10, p90_s=20.5, source="your est_runtime", runs=3),
        "lines": (CostLine(what="execution", amount=Money(7), sunk=True),),
        "marginal": Money(0),
        "p90_full": None,
        "offer_ids": ("acme/x",),
        "available_now": False,
        "emulated": True,
        "warnings": ("old price",),
    }
    return Quote(pool=pool, full=full, **values | fields)


def placement(of: Job, verdict: Verdict = Verdict.RUN, **fields: Any) -> Placement:
    """A decision with all its parts."""
    values: dict[str, Any] = {
        "at_ns": NOW_NS,
        "chosen": quote(),
        "others": (quote("cloud", full=None),),
        "refusals": (
            Refusal(pool="tiny", constraint="gpus", message="too small", have="0", need="8", permanent=False),
        ),
        "reason": "home is cheapest",
        "flip": "a price below $1",
        "decide_again_ns": NOW_NS + 5,
    }
    return Placement(job_id=of.id, verdict=verdict, **values | fields)


def unit(unit_id: str, started_ns: int = 0, ended_ns: int | None = None, **fields: Any) -> UnitUsage:
    """A node that was ready at once."""
    values: dict[str, Any] = {"resources": HELD, "ready_ns": started_ns, "caused_by": None}
    return UnitUsage(unit_id=unit_id, started_ns=started_ns, ended_ns=ended_ns, **values | fields)


def held(attempt_id: str, unit_id: str, started_ns: int, ended_ns: int | None = None) -> AttemptUsage:
    """An interval in which an attempt held a unit."""
    return AttemptUsage(
        attempt_id=attempt_id, unit_id=unit_id, resources=HELD, started_ns=started_ns, ended_ns=ended_ns
    )


def report(as_of_ns: int, *units: UnitUsage, attempts: tuple[AttemptUsage, ...] = ()) -> UsageReport:
    """The usage that a pool measured."""
    return UsageReport(as_of_ns=as_of_ns, units=units, attempts=attempts)


OFFER: Final = Offer(
    id="acme/node/n4/eu/on_demand",
    provider="acme",
    product="node",
    sku="n4",
    region="eu",
    tier=Tier.ON_DEMAND,
    gpu_model="H100",
    gpu_count=0.5,
    cpus=None,
    memory_gib=64.5,
    usd_per_hour=Decimal("3.600000000001"),
    usd_per_cpu_hour=Decimal("0.05"),
    usd_per_gib_hour=None,
    billing=BillingRule(granularity_s=60, minimum_s=600),
    valid_from=date(2026, 1, 31),
    source="list price",
    note="seen by hand",
)


def charge(key: str, started_ns: int, amount: int | None, **fields: Any) -> Charge:
    """A metered charge of a second, in nanodollars."""
    values: dict[str, Any] = {
        "book": Book.METERED,
        "kind": ChargeKind.JOB,
        "pool": "home",
        "unit_id": "n1",
        "attempt_id": None,
        "ended_ns": started_ns + NS_PER_S,
        "offer": OFFER if amount is not None else None,
    }
    money = Money(amount) if amount is not None else None
    return Charge(key=key, started_ns=started_ns, amount=money, **values | fields)
