"""Claiming: of the jobs that a broker has decided about, those that are still queued and that no other one claims.

A claim is held for one short transaction, in which the job leaves the queue; others skip it meanwhile, and find it gone
afterwards. What a broker that dies had only decided is still queued.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from broker.decide.budgets import begun, concerning, refused
from broker.decide.quotas import Quotas
from broker.model.budgets import Reservation
from broker.model.errors import OverBudget
from broker.model.jobs import JobState
from broker.model.placement import Verdict
from broker.model.projects import Project
from broker.run.store.budgeting import standings, take_turns
from broker.run.store.reading import holdings
from broker.run.store.recording import News
from broker.run.store.specs import Specs, chunks
from broker.run.store.tables import jobs


def claim(
    connection: Connection, known: Specs, news: News, within: Reservation | None, quotas: Sequence[Project]
) -> News:
    """What may be recorded, its jobs locked until the end of the transaction. Raises OverBudget."""
    claimed = _of(news, _claimed(connection, news))
    if not claimed.attempts or (within is None and not quotas):
        return claimed
    take_turns(connection)
    if quotas:
        claimed = _in_quotas(claimed, Quotas(quotas, holdings(connection, known)))
    if within is not None:
        _check_budgets(connection, claimed, within)
    return claimed


def _claimed(connection: Connection, news: News) -> set[str]:
    """Jobs that are queued, and have been tried as often as was thought when it was decided."""
    new = {attempt.job_id for attempt in news.attempts}
    tried = {job.id: job.attempts - (job.id in new) for job in news.jobs}
    found: set[str] = set()
    for chunk in chunks(sorted({*tried, *(placement.job_id for placement in news.placements)})):
        query = select(jobs.c.id, jobs.c.attempts).where(jobs.c.id.in_(chunk), jobs.c.state == JobState.QUEUED.value)
        rows = connection.execute(query.with_for_update(skip_locked=True))
        found |= {row.id for row in rows if row.attempts == tried.get(row.id, row.attempts)}
    return found


def _of(news: News, job_ids: set[str]) -> News:
    return News(
        jobs=[job for job in news.jobs if job.id in job_ids],
        attempts=[attempt for attempt in news.attempts if attempt.job_id in job_ids],
        changes=[change for change in news.changes if change.job_id in job_ids],
        placements=[placement for placement in news.placements if placement.job_id in job_ids],
    )


def _in_quotas(news: News, quotas: Quotas) -> News:
    """Without the jobs that quotas have no room for by now, and those that would overtake one of their project."""
    attempts = {attempt.job_id: attempt for attempt in news.attempts}
    full: set[str] = set()
    stay: set[str] = set()
    for job in news.jobs:
        if (attempt := attempts.get(job.id)) is None:
            continue
        project, held, nodes = job.spec.project, attempt.resources, job.spec.resources.num_nodes
        if project in full or quotas.refused(project, job.user, attempt.pool, held, nodes):
            full.add(project)
            stay.add(job.id)
        else:
            quotas.begin(project, job.user, held, nodes)
    every = {job.id for job in news.jobs} | {placement.job_id for placement in news.placements}
    return _of(news, every - stay) if stay else news


def _check_budgets(connection: Connection, news: News, within: Reservation) -> None:
    """Whether what begins has room in budgets as they stand now, after all that other brokers have begun."""
    now = standings(connection, within.budgets, within.now_ns, within.tails)
    chosen = {each.job_id: each.chosen for each in news.placements if each.verdict is Verdict.RUN}
    for job in news.jobs:
        if (quote := chosen.get(job.id)) is None:
            continue
        concerned = concerning(now, job.user, job.spec.tags, job.spec.project)
        if against := refused(concerned, quote.pool, quote.p90_full):
            raise OverBudget(f"{job.id}: {against.message}")
        now = begun(now, job.user, job.spec.tags, quote.pool, quote.p90_full, job.spec.project)
