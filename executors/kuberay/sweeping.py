"""What an earlier broker left in the namespace and no attempt goes on with → ended."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from executors.kuberay import names
from executors.kuberay.site import Site

log = structlog.get_logger()


async def sweep(site: Site, going: Sequence[str]) -> None:
    """Ends RayJobs, their RayClusters and submitters of this broker that run for no attempt. Raises ExecutorError."""
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
    clusters = await _clusters(site, wanted)
    for name in clusters:
        await site.api.delete("rayclusters", name)
    if ended := [*jobs, *submitters, *clusters]:
        log.warning("ended what ran for no attempt", pool=site.pool.name, ended=sorted(ended))


async def _clusters(site: Site, wanted: set[str]) -> list[str]:
    """RayClusters that were made for an attempt, which nobody goes on with."""
    found, _ = await site.api.all("rayclusters", site.manifests.mine)
    labels = [(one["metadata"]["name"], one["metadata"]["labels"].get(names.ATTEMPT)) for one in found]
    return [name for name, job in labels if job and job not in wanted]
