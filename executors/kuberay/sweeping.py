"""What an earlier broker left in the namespace and no attempt goes on with → ended."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from executors.kuberay import names
from executors.kuberay.site import Site

log = structlog.get_logger()


async def sweep(site: Site, going: Sequence[str]) -> None:
    """Ends RayJobs and submitters of this broker that run for no attempt. Raises ExecutorError."""
    wanted = {names.resource_name(attempt_id) for attempt_id in going}
    jobs = set(site.jobs.known) - wanted
    labels = [pod["metadata"]["labels"].get(names.ATTEMPT) for pod in site.pods.known.values()]
    submitters = {name for name in labels if name} - wanted
    for name in jobs:
        await site.api.delete("rayjobs", name)
        await site.api.delete("secrets", name)
    for name in submitters:
        await site.api.delete("jobs", name)
        await site.api.delete("secrets", name)
    if jobs or submitters:
        log.warning("ended what ran for no attempt", pool=site.pool.name, jobs=sorted(jobs | submitters))
