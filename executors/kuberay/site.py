"""The site of a pool: what every attempt of it needs, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broker.model.pools import Pool
from executors.kuberay.api import Api
from executors.kuberay.manifests import Manifests
from executors.kuberay.mirror import Mirror
from executors.kuberay.options import Options
from executors.kuberay.workers import Workers
from executors.modal_pool.meter import Meter
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.reports import Reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Parts that live as long as the executor."""

    pool: Pool
    options: Options
    root: Path
    max_stream_bytes: int
    api: Api
    manifests: Manifests
    pods: Mirror  # of head, workers and submitters
    jobs: Mirror  # RayJobs
    workers: Workers
    meter: Meter
    reports: Reports

    def folder(self, attempt_id: str) -> AttemptDir:
        """Where an attempt's output goes."""
        return AttemptDir(self.root / "attempts" / attempt_id)
