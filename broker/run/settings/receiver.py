"""Who is told of what happens, as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who is told of what, and how."""

    name: str
    url_secret: str  # name of the secret that holds the address: it often lets whoever knows it post
    events: tuple[str, ...]  # kinds, or what kinds begin with: job, job.failed, plan
    form: str  # json, or slack
    signing_secret: str | None  # name of the secret that the body is signed with

    def wants(self, kind: str) -> bool:
        """Whether it is told of events of this kind."""
        return any(kind == wanted or kind.startswith(f"{wanted}.") for wanted in self.events)
