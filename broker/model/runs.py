"""Runs: what attempts and waiting jobs hold or ask for over time, as history for forecasts."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.model.jobs import JobSpec
from broker.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt on one node, of which only its size and its times matter."""

    attempt_id: str = ""  # "": of a job that waits
    user: str
    pool: str
    environment: str = ""  # what a container must have been made for, to be of use to it
    resources: Resources  # held on the node
    wants: JobSpec | None = field(default=None, hash=False)  # of a place, where several GPU models would do for it
    started_ns: int  # when its command began; when it was stored, for one that has not begun
    ended_ns: int | None  # None: it has not
