"""Placements with their quotes and refusals, prices and resources → the models of `broker.api.schemas`."""

from __future__ import annotations

from broker.api import schemas
from broker.api.amounts import money, money_or_none, time
from broker.decide.explain import explain
from broker.model.offers import Offer
from broker.model.placement import Placement, Quote, Refusal
from broker.model.resources import Resources
from broker.run.service import JobRecord


def resources(held: Resources) -> schemas.ResourcesView:
    """Resources of one node or container."""
    return schemas.ResourcesView(
        cpus=held.cpus,
        memory_bytes=held.memory_bytes,
        gpus=held.gpus,
        gpu_model=held.gpu_model,
        disk_bytes=held.disk_bytes,
    )


def placement(decided: Placement) -> schemas.PlacementView:
    """A decision."""
    return schemas.PlacementView(
        at=time(decided.at_ns),
        verdict=decided.verdict.value,
        chosen=_quote(decided.chosen) if decided.chosen else None,
        others=[_quote(each) for each in decided.others],
        refusals=[_refusal(each) for each in decided.refusals],
        reason=decided.reason,
        flip=decided.flip,
    )


def explanation(record: JobRecord) -> schemas.ExplanationView:
    """Why a job runs where it does, in words. With no decision yet, that is what it says."""
    job, decided = record.standing.job, record.placement
    if decided is None:
        return schemas.ExplanationView(
            job_id=job.id,
            chosen="",
            reason=job.reason or "no decision was made about it yet",
            rejected=[],
            difference=None,
            flip="",
            warnings=[],
            actual=[],
            placement=None,
            earlier=[],
        )
    cost = record.standing.cost
    known = cost.known if record.charges else None
    said = explain(decided, record.attempts, known, cost.unknown, ended=cost.complete, deadline_ns=job.spec.deadline_ns)
    return schemas.ExplanationView(
        job_id=job.id,
        chosen=said.chosen,
        reason=said.reason,
        rejected=list(said.rejected),
        difference=money_or_none(said.difference),
        flip=said.flip,
        warnings=list(said.warnings),
        actual=list(said.actual),
        placement=placement(decided),
        earlier=[placement(each) for each in record.placements if each is not decided],
    )


def _quote(quote: Quote) -> schemas.QuoteView:
    estimate = quote.duration
    return schemas.QuoteView(
        pool=quote.pool,
        emulated=quote.emulated,
        resources=resources(quote.resources),
        available_now=quote.available_now,
        start_in_s=quote.start_in_s,
        end_in_s=quote.end_in_s,
        duration=schemas.DurationView(
            p50_s=estimate.p50_s, p90_s=estimate.p90_s, source=estimate.source, runs=estimate.runs
        ),
        marginal=money_or_none(quote.marginal),
        full=money_or_none(quote.full),
        p90_full=money_or_none(quote.p90_full),
        lines=[schemas.CostLineView(what=line.what, amount=money(line.amount), sunk=line.sunk) for line in quote.lines],
        offers=list(quote.offer_ids),
        warnings=list(quote.warnings),
    )


def _refusal(refusal: Refusal) -> schemas.RefusalView:
    return schemas.RefusalView(
        pool=refusal.pool,
        constraint=refusal.constraint,
        message=refusal.message,
        have=refusal.have,
        need=refusal.need,
        permanent=refusal.permanent,
    )


def price(offer: Offer, *, age_days: int | None = None, stale: bool = False) -> schemas.PriceView:
    """A price with its source and date."""
    return schemas.PriceView(
        offer=offer.id,
        tier=offer.tier.value,
        usd_per_hour=str(offer.usd_per_hour),
        usd_per_cpu_hour=None if offer.usd_per_cpu_hour is None else str(offer.usd_per_cpu_hour),
        usd_per_gib_hour=None if offer.usd_per_gib_hour is None else str(offer.usd_per_gib_hour),
        gpu_model=offer.gpu_model,
        gpu_count=offer.gpu_count,
        source=offer.source,
        valid_from=offer.valid_from,
        age_days=age_days,
        stale=stale,
    )
