"""Rows ↔ values: jobs, attempts, history, usage, prices and charges, written out column by column."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Column, Row, Table

from broker.model.jobs import Attempt, AttemptState, Job, JobSpec, JobState
from broker.model.money import Money
from broker.model.offers import BillingRule, Offer, Tier
from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, Book, Charge, ChargeKind, UnitUsage

Values: TypeAlias = dict[str, Any]


def digest(text: str) -> str:
    """The hash under which a text is kept once."""
    return hashlib.sha256(text.encode()).hexdigest()


def job_values(job: Job) -> Values:
    """A new job as columns, without those of its spec and document rows."""
    return {
        "id": job.id,
        "head": job.array_id or job.id,
        "array_index": job.array_index,
        "user": job.user,
        "project": job.spec.project,
        "name": job.spec.name,
        "rank": -job.spec.priority,
        "task_envs": json.dumps(job.task_envs) if job.task_envs else "{}",
        "state": job.state.value,
        "submitted_ns": job.submitted_ns,
        "not_before_ns": job.not_before_ns,
        "cancel_requested": job.cancel_requested,
        "attempts": job.attempts,
        "reason": job.reason,
        "started_ns": job.started_ns,
        "ended_ns": job.ended_ns,
        "exit_code": job.exit_code,
    }


def unread_job_of(row: Row[Any], why: str) -> Job:
    """The same where its spec can't be read: with what its own row says."""
    spec = JobSpec(name=row.name, project=row.project, priority=-row.rank)
    return replace(job_of(row, spec, "{}"), unread=why)


def job_of(row: Row[Any], spec: JobSpec, task_envs: str | None = None) -> Job:
    """A row of `jobs` and its spec as a job."""
    return Job(
        id=row.id,
        spec=spec,
        state=JobState(row.state),
        user=row.user,
        submitted_ns=row.submitted_ns,
        array_id=row.head if row.array_index is not None else None,
        array_index=row.array_index,
        task_envs=json.loads(row.task_envs if task_envs is None else task_envs),
        not_before_ns=row.not_before_ns,
        cancel_requested=row.cancel_requested,
        attempts=row.attempts,
        reason=row.reason,
        started_ns=row.started_ns,
        ended_ns=row.ended_ns,
        exit_code=row.exit_code,
    )


def resources_values(resources: Resources) -> Values:
    """Resources as the columns that every table with resources has."""
    return {
        "cpus": resources.cpus,
        "memory_bytes": resources.memory_bytes,
        "gpus": resources.gpus,
        "gpu_model": resources.gpu_model,
        "disk_bytes": resources.disk_bytes,
    }


def resources_of(row: Row[Any]) -> Resources:
    """The resources of a row."""
    return shared(row.cpus, row.memory_bytes, row.gpus, row.gpu_model, row.disk_bytes)


def resources_columns(table: Table) -> list[Column[Any]]:
    """The columns of resources, in the order in which `shared` takes them."""
    return [table.c[name] for name in ("cpus", "memory_bytes", "gpus", "gpu_model", "disk_bytes")]


@lru_cache(maxsize=4_096)
def shared(cpus: float, memory_bytes: int, gpus: float, gpu_model: str, disk_bytes: int) -> Resources:
    """Resources of such sizes, as one object for all that have them."""
    return Resources(cpus=cpus, memory_bytes=memory_bytes, gpus=gpus, gpu_model=gpu_model, disk_bytes=disk_bytes)


def attempt_values(attempt: Attempt, job_seq: int) -> Values:
    """An attempt as columns."""
    return {
        "id": attempt.id,
        "job_seq": job_seq,
        "number": attempt.number,
        "pool": attempt.pool,
        **resources_values(attempt.resources),
        "state": attempt.state.value,
        "stored_ns": attempt.stored_ns,
        "started_ns": attempt.started_ns,
        "ended_ns": attempt.ended_ns,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "reason": attempt.reason,
    }


def attempt_of(row: Row[Any]) -> Attempt:
    """A row of `attempts` with its job's id as `job_id`."""
    return Attempt(
        id=row.id,
        job_id=row.job_id,
        number=row.number,
        pool=row.pool,
        resources=resources_of(row),
        state=AttemptState(row.state),
        stored_ns=row.stored_ns,
        started_ns=row.started_ns,
        ended_ns=row.ended_ns,
        exit_code=row.exit_code,
        signal=row.signal,
        reason=row.reason,
    )


def unit_values(pool: str, unit: UnitUsage) -> Values:
    """A unit as columns."""
    return {
        "pool": pool,
        "unit_id": unit.unit_id,
        **resources_values(unit.resources),
        "started_ns": unit.started_ns,
        "ready_ns": unit.ready_ns,
        "ended_ns": unit.ended_ns,
        "caused_by": unit.caused_by,
        "last_attempt": unit.last_attempt,
        "asked_ns": unit.asked_ns,
        "head": unit.head,
    }


def unit_of(row: Row[Any]) -> UnitUsage:
    """A row of `units`."""
    return UnitUsage(
        unit_id=row.unit_id,
        resources=resources_of(row),
        started_ns=row.started_ns,
        ready_ns=row.ready_ns,
        ended_ns=row.ended_ns,
        caused_by=row.caused_by,
        last_attempt=row.last_attempt,
        asked_ns=row.asked_ns,
        head=row.head,
    )


def usage_values(pool: str, usage: AttemptUsage) -> Values:
    """An attempt's interval as columns."""
    return {
        "pool": pool,
        "attempt_id": usage.attempt_id,
        "unit_id": usage.unit_id,
        "started_ns": usage.started_ns,
        **resources_values(usage.resources),
        "ended_ns": usage.ended_ns,
    }


def offer_values(offer: Offer) -> Values:
    """An offer as columns; decimals as text, so that none of their digits is lost."""
    values = {
        "offer_id": offer.id,
        "provider": offer.provider,
        "product": offer.product,
        "sku": offer.sku,
        "region": offer.region,
        "tier": offer.tier.value,
        "gpu_model": offer.gpu_model,
        "gpu_count": offer.gpu_count,
        "cpus": offer.cpus,
        "memory_gib": offer.memory_gib,
        "usd_per_hour": str(offer.usd_per_hour),
        "usd_per_cpu_hour": _text(offer.usd_per_cpu_hour),
        "usd_per_gib_hour": _text(offer.usd_per_gib_hour),
        "granularity_s": offer.billing.granularity_s,
        "minimum_s": offer.billing.minimum_s,
        "valid_from": offer.valid_from.isoformat(),
        "source": offer.source,
        "note": offer.note,
    }
    return {"hash": digest(json.dumps(values, sort_keys=True)), **values}


def offer_of(row: Row[Any]) -> Offer:
    """A row of `prices_used`."""
    return Offer(
        id=row.offer_id,
        provider=row.provider,
        product=row.product,
        sku=row.sku,
        region=row.region,
        tier=Tier(row.tier),
        gpu_model=row.gpu_model,
        gpu_count=row.gpu_count,
        cpus=row.cpus,
        memory_gib=row.memory_gib,
        usd_per_hour=Decimal(row.usd_per_hour),
        usd_per_cpu_hour=_decimal(row.usd_per_cpu_hour),
        usd_per_gib_hour=_decimal(row.usd_per_gib_hour),
        billing=BillingRule(granularity_s=row.granularity_s, minimum_s=row.minimum_s),
        valid_from=date.fromisoformat(row.valid_from),
        source=row.source,
        note=row.note,
    )


def charge_values(charge: Charge) -> Values:
    """A charge as columns, without the keys of its job and its price."""
    return {
        "key": charge.key,
        "book": charge.book.value,
        "kind": charge.kind.value,
        "pool": charge.pool,
        "unit_id": charge.unit_id,
        "attempt_id": charge.attempt_id,
        "started_ns": charge.started_ns,
        "ended_ns": charge.ended_ns,
        "amount": charge.amount.nanodollars if charge.amount is not None else None,
    }


def charge_of(row: Row[Any], offer: Offer | None) -> Charge:
    """A row of `charges` with the price it froze."""
    return Charge(
        key=row.key,
        book=Book(row.book),
        kind=ChargeKind(row.kind),
        pool=row.pool,
        unit_id=row.unit_id,
        attempt_id=row.attempt_id,
        started_ns=row.started_ns,
        ended_ns=row.ended_ns,
        amount=Money(row.amount) if row.amount is not None else None,
        offer=offer,
    )


def _text(number: Decimal | None) -> str | None:
    return str(number) if number is not None else None


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text is not None else None
