"""The parts of the port to a store, together: each has a file of its own beside this one."""

from __future__ import annotations

from typing import Protocol

from broker.audit_store import AuditStore
from broker.blob_store import BlobStore
from broker.foresight_store import ForesightStore
from broker.lease_store import LeaseStore
from broker.project_store import ProjectStore
from broker.schedule_store import ScheduleStore
from broker.secret_store import SecretStore
from broker.token_store import TokenStore
from broker.volume_store import VolumeStore


class StoreParts(
    BlobStore,
    LeaseStore,
    TokenStore,
    ScheduleStore,
    SecretStore,
    VolumeStore,
    ProjectStore,
    AuditStore,
    ForesightStore,
    Protocol,
):
    """All that is kept beside jobs and money."""
