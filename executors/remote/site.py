"""The site of a pool: what every attempt of it needs, in one place; each executor adds its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from broker.model.pools import Pool
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.reports import Reports
from executors.remote.meter import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSite:
    """Parts that live as long as the executor."""

    pool: Pool
    root: Path
    max_stream_bytes: int
    meter: Meter
    reports: Reports

    def folder(self, attempt_id: str) -> AttemptDir:
        """Where an attempt's output goes."""
        return AttemptDir(self.root / "attempts" / attempt_id)


def owner_of(root: Path) -> str:
    """A name of this state folder, made once: it tells what is ours from what another broker has in the same place."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = root / "owner"
    if not owner.exists():
        owner.write_text(secrets.token_hex(8))
    return owner.read_text()
