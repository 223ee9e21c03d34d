"""A job or an array, and who asks → whether it is theirs."""

from __future__ import annotations

from broker.model.errors import Forbidden, UnknownName
from broker.model.query import JobFilter
from broker.ports import Store


def owned(store: Store, job_id: str, user: str) -> None:
    """Returns where a job, or an array's tasks, are this user's. Raises `Forbidden`, `UnknownName`."""
    try:
        owner = store.job(job_id, shown=True).user
    except UnknownName:
        tasks = store.jobs(JobFilter(array_id=job_id, limit=1)).jobs
        if not tasks:
            raise
        owner = tasks[0].user
    if owner != user:
        raise Forbidden(f"{job_id} is {owner}'s: only {owner}, or a token with the scope `admin`, may do this")
