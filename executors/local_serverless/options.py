"""Options of a local serverless pool, as its configuration has them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from broker.model.errors import Misconfigured

ISOLATIONS = ("auto", "bubblewrap", "namespaces", "process")
_AT_LEAST = {"concurrency": 1, "pids": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a local serverless pool; how many containers and how long they stay is said by the pool itself."""

    min_containers: int = 0  # kept warm, idle or not, for the last environment used
    buffer_containers: int = 0  # idle ones kept beyond those that run, while any runs
    concurrency: int = 1  # attempts at once in one container
    prepared: int = 1  # sandboxes started ahead, which belong to nobody and cost nothing yet; 0: none
    preload: tuple[str, ...] = ()  # modules that functions of this pool find imported
    readable: tuple[str, ...] = ()  # folders of this machine that containers may read, beyond the system's
    pids: int = 512  # processes and threads in one container
    isolation: str = "auto"  # auto: the strongest that works here

    @classmethod
    def of(cls, pool: str, given: Mapping[str, Any]) -> Options:
        """Raises `Misconfigured` for an unknown option or an impossible value."""
        known = {field.name: field.default for field in fields(cls)}
        values = {}
        for name, value in given.items():
            if name not in known:
                raise Misconfigured(
                    f"pool {pool}: no option {name!r} of a local serverless pool; there are: {', '.join(known)}"
                )
            values[name] = _checked(pool, name, value, known[name])
        options = cls(**values)
        if options.isolation not in ISOLATIONS:
            raise Misconfigured(f"pool {pool}: option isolation must be one of {', '.join(ISOLATIONS)}")
        return options


def _checked(pool: str, name: str, value: Any, example: Any) -> Any:
    if isinstance(example, tuple):
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise Misconfigured(f"pool {pool}: option {name} must be a list of texts, not {value!r}")
        return tuple(value)
    if type(value) is not type(example):
        raise Misconfigured(f"pool {pool}: option {name} must be {type(example).__name__}, not {value!r}")
    if isinstance(value, int) and value < (least := _AT_LEAST.get(name, 0)):
        raise Misconfigured(f"pool {pool}: option {name} must be at least {least}, not {value}")
    return value
