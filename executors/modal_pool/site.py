"""The site of a pool at Modal: what every attempt of it needs, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from broker.model.jobs import LaunchRequest
from executors.modal_pool.connection import Connection
from executors.modal_pool.images import Images
from executors.modal_pool.options import Options
from executors.remote.bundle import VOLUMES
from executors.remote.site import RemoteSite


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(RemoteSite):
    """The parts that are Modal's."""

    options: Options
    owner: str  # of this state folder: tells our sandboxes from those of another broker in the same app
    connection: Connection
    images: Images
    pending: dict[str, int] = field(default_factory=dict)  # attempts whose container is not known -> since when

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

    def volumes_of(self, request: LaunchRequest) -> dict[str, Any]:
        """The volumes of a job: Modal's own of the same names, made where there are none yet."""
        import modal

        known = {"environment_name": self.options.environment or None, "client": self.connection.client}
        found = {}
        for name in sorted(set(request.spec.volumes.values())):
            volume = modal.Volume.from_name(name, create_if_missing=True, **known)
            read_only = name in request.spec.volumes_read_only
            found[f"{VOLUMES}/{name}"] = volume.with_mount_options(read_only=True) if read_only else volume
        return found

    def secrets(self) -> list[Any]:
        """Modal's own secrets that every attempt gets."""
        import modal

        known = {"environment_name": self.options.environment or None, "client": self.connection.client}
        return [modal.Secret.from_name(name, **known) for name in self.options.secrets]
