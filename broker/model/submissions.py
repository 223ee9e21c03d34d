"""One submission of several that are stored together."""

from __future__ import annotations

from dataclasses import dataclass

from broker.model.acting import Act
from broker.model.budgets import Reservation
from broker.model.jobs import Job
from broker.model.projects import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is stored for one submission."""

    jobs: tuple[Job, ...]  # one, or the tasks of an array
    document: str  # canonical JSON of what was submitted
    document_hash: str
    reserving: Reservation | None = None
    note: str = ""  # what was changed in it before it was stored, for the history of its jobs
    room: tuple[Waiting, ...] = ()  # how many jobs of its project may wait, these among them
    act: Act | None = None  # the request that brought it: the audit log's entry is written with it
    blobs: tuple[tuple[str, bytes], ...] = ()  # what comes with it to be kept, small, each after its SHA-256
