"""Options of a local serverless pool, as its configuration has them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from broker.model.errors import Misconfigured

ISOLATIONS = ("auto", "bubblewrap", "namespaces", "process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a local serverless pool."""

    min_containers: int = 0  # kept warm, idle or not, for the last environment used
    buffer_containers: int = 0  # idle ones kept beyond those that run
    concurrency: int = 1  # attempts at once in one container
    max_log_bytes: int = 1 << 30  # per stream of an attempt; what is beyond is dropped, and said
    pids: int = 512  # processes and threads in one container
    isolation: str = "auto"  # auto: the strongest that works here

    @classmethod
    def of(cls, pool: str, given: Mapping[str, Any]) -> Options:
        """Raises `Misconfigured` for an unknown option or an impossible value."""
        known = {field.name: field for field in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise Misconfigured(
                    f"pool {pool}: no option {name!r} of a local serverless pool; there are: {', '.join(known)}"
                )
            if type(value).__name__ != known[name].type or (isinstance(value, int) and value < 0):
                raise Misconfigured(f"pool {pool}: option {name} must be {known[name].type}, not {value!r}")
        options = cls(**given)
        if options.isolation not in ISOLATIONS:
            raise Misconfigured(f"pool {pool}: option isolation must be one of {', '.join(ISOLATIONS)}")
        if options.concurrency < 1 or options.pids < 1:
            raise Misconfigured(f"pool {pool}: options concurrency and pids must be at least 1")
        return options
