"""The site of a pool: what every attempt of it needs, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool
from executors.modal_pool.connection import Connection
from executors.modal_pool.images import Images
from executors.modal_pool.meter import Meter
from executors.modal_pool.options import Options
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.reports import Reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Parts that live as long as the executor is open."""

    pool: Pool
    options: Options
    root: Path
    owner: str  # of this state folder: tells our sandboxes from those of another broker in the same app
    max_stream_bytes: int
    connection: Connection
    images: Images
    meter: Meter
    reports: Reports
    pending: dict[str, int] = field(default_factory=dict)  # attempts whose container is not known -> since when

    def folder(self, attempt_id: str) -> AttemptDir:
        """Where an attempt's output goes."""
        return AttemptDir(self.root / "attempts" / attempt_id)

    def tags(self, request: LaunchRequest) -> dict[str, str]:
        """What a sandbox is found and billed by."""
        return {
            "broker_job": request.job_id,
            "broker_attempt": request.attempt_id,
            "broker_pool": self.pool.name,
            "broker_owner": self.owner,
        }

    def volumes(self) -> dict[str, Any]:
        """The volumes of the pool, as Modal's calls take them."""
        import modal

        known = {"environment_name": self.options.environment or None, "client": self.connection.client}
        return {path: modal.Volume.from_name(name, **known) for path, name in self.options.volumes.items()}

    def secrets(self) -> list[Any]:
        """Modal's own secrets that every attempt gets."""
        import modal

        known = {"environment_name": self.options.environment or None, "client": self.connection.client}
        return [modal.Secret.from_name(name, **known) for name in self.options.secrets]
