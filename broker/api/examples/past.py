"""A made-up past, decided and charged by the broker's own functions: a team's job, from its description to its bill.

So what the examples say adds up, and reads as a broker's answers do.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

from broker.api.examples.pools import CLUSTER, MODAL, NODE, NODE_ID, READY_SINCE, UP_SINCE, states
from broker.api.examples.times import NOW, SUBMITTED, at
from broker.decide.charge import settle
from broker.decide.duration import estimate
from broker.decide.place import place
from broker.decide.progress import advance, attempt_of
from broker.decide.quote import quote
from broker.decide.rules import PlacementRules
from broker.model.jobs import Attempt, AttemptReport, AttemptState, Job, JobState, StateChange
from broker.model.money import Money
from broker.model.placement import Placement
from broker.model.resources import GIB, Resources
from broker.model.usage import AttemptUsage, Charge, UnitUsage, UsageReport
from broker.run.money.ledger import prices
from broker.run.service import ArrayStanding, Cost, JobRecord, JobStanding
from broker.spec.build import dump, to_spec
from broker.spec.read import from_mapping

JOB_ID: Final = "gwq3k5vh"
ARRAY_ID: Final = "gwq3m2pt"
RETRIED_ID: Final = "gwq3q7cd"
USER: Final = "mia"
PROJECT: Final = "vision"
BODY: Final[dict[str, Any]] = {
    "name": "train-resnet",
    "run": "python train.py --epochs 30",
    "project": PROJECT,
    "resources": {"accelerators": "H100:2", "cpus": 16, "memory": "128GiB"},
    "est_runtime": "40m",
    "max_cost": "$20",
    "tags": {"model": "resnet50"},
}
ARRAY_BODY: Final[dict[str, Any]] = {
    "name": "sweep",
    "run": "python tune.py --seed $BROKER_ARRAY_INDEX",
    "project": PROJECT,
    "array": 20,
    "resources": {"accelerators": "H100"},
    "est_runtime": "20m",
    "max_cost": "$5",
}
_STARTED: Final = at("09:14:08")
_ENDED: Final = at("09:52:20")
_RULES: Final = PlacementRules()


@cache
def record() -> JobRecord:
    """The job, which has succeeded, with its whole history."""
    waiting = _submitted()
    placement = decided(waiting)
    started = attempt_of(waiting, placement, SUBMITTED)
    job, attempt, changes = _run(replace(waiting, attempts=1, reason=placement.reason), started)
    charges = tuple(each for each in ledger() if each.attempt_id == attempt.id)
    return JobRecord(
        standing=JobStanding(job=job, attempt=attempt, cost=Cost(known=_total(charges), complete=True)),
        attempts=(attempt,),
        placements=(placement,),
        changes=changes,
        charges=charges,
        estimates=(),
        document=dump(from_mapping(BODY).document),
    )


def running() -> JobStanding:
    """The same job while it ran."""
    done = record().standing
    attempt = replace(record().attempts[0], state=AttemptState.RUNNING, ended_ns=None, exit_code=None)
    job = replace(done.job, state=JobState.RUNNING, ended_ns=None, exit_code=None, reason=record().placements[0].reason)
    return JobStanding(job=job, attempt=attempt, cost=Cost(known=Money(0)))


def array() -> ArrayStanding:
    """An array, of which most has run."""
    counts = {JobState.RUNNING: 4, JobState.SUCCEEDED: 16}
    return ArrayStanding(
        array_id=ARRAY_ID, name="sweep", user=USER, project=PROJECT, submitted_ns=at("09:30:12"), counts=counts
    )


def decided(job: Job) -> Placement:
    """Where a job is to run, and why."""
    duration = estimate(job.spec, ())
    answers = [quote(job.spec, state, duration, SUBMITTED, _RULES) for state in states(SUBMITTED)]
    options = [option for answer in answers for option in answer.options]
    refusals = [refusal for answer in answers for refusal in answer.refusals]
    return place(job, options, refusals, SUBMITTED, duration, _RULES)


@cache
def ledger() -> tuple[Charge, ...]:
    """What the cluster's node and one container have cost by noon."""
    return settle(CLUSTER, UP_SINCE, (), _node_usage(), prices(CLUSTER)) + settle(
        MODAL, UP_SINCE, (), _container_usage(), prices(MODAL)
    )


def _submitted() -> Job:
    spec = to_spec(from_mapping(BODY).document, SUBMITTED)
    return Job(id=JOB_ID, spec=spec, state=JobState.QUEUED, user=USER, submitted_ns=SUBMITTED)


def _run(job: Job, attempt: Attempt) -> tuple[Job, Attempt, tuple[StateChange, ...]]:
    changes: tuple[StateChange, ...] = ()
    for state, at_ns in (
        (AttemptState.STARTING, at("09:14:06")),
        (AttemptState.RUNNING, _STARTED),
        (AttemptState.SUCCEEDED, _ENDED),
    ):
        report = AttemptReport(
            attempt_id=attempt.id,
            state=state,
            at_ns=at_ns,
            started_ns=_STARTED if at_ns >= _STARTED else None,
            ended_ns=_ENDED if state.ended else None,
            exit_code=0 if state.ended else None,
        )
        if (progress := advance(job, attempt, report, at_ns)) is not None:
            job, attempt, changes = progress.job, progress.attempt, changes + progress.changes
    return job, attempt, changes


def _node_usage() -> UsageReport:
    held = Resources(cpus=16, memory_bytes=128 * GIB, gpus=2, gpu_model="H100")
    half = Resources(cpus=96, memory_bytes=1_024 * GIB, gpus=4, gpu_model="H100")
    node = UnitUsage(unit_id=NODE_ID, resources=NODE, started_ns=UP_SINCE, ready_ns=READY_SINCE, ended_ns=None)
    spans = ((f"{JOB_ID}-a1", held, _STARTED, _ENDED), ("gwq2x8rn-a1", half, at("06:10"), at("11:40")))
    attempts = [
        AttemptUsage(attempt_id=name, unit_id=NODE_ID, resources=part, started_ns=start, ended_ns=end)
        for name, part, start, end in spans
    ]
    return UsageReport(as_of_ns=NOW, units=(node,), attempts=tuple(attempts))


def _container_usage() -> UsageReport:
    held = Resources(cpus=8, memory_bytes=64 * GIB, gpus=1, gpu_model="H100")
    container = UnitUsage(
        unit_id="sb-5T1qWcB0mYdR",
        resources=held,
        started_ns=at("09:30:14"),
        ready_ns=at("09:30:25"),
        ended_ns=at("09:51:25"),
        caused_by=f"{ARRAY_ID}.0-a1",
    )
    ran = AttemptUsage(
        attempt_id=f"{ARRAY_ID}.0-a1",
        unit_id=container.unit_id,
        resources=held,
        started_ns=at("09:30:25"),
        ended_ns=at("09:50:25"),
    )
    return UsageReport(as_of_ns=NOW, units=(container,), attempts=(ran,))


def _total(charges: tuple[Charge, ...]) -> Money:
    return Money.total(charge.amount for charge in charges if charge.amount is not None)
