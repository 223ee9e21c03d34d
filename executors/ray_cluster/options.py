"""Options of a Ray pool, as its configuration has them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from broker.model.errors import Misconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a Ray pool."""

    address: str = "local"  # "local": a cluster of our own on this machine; else host:port of a running one
    dashboard: str = ""  # http://host:port of a running cluster's dashboard, for jobs that are Ray programs
    object_store_bytes: int = 200_000_000  # of each local node

    @classmethod
    def of(cls, pool: str, given: Mapping[str, Any]) -> Options:
        """Raises `Misconfigured` for an unknown option or a value of the wrong type."""
        known = {field.name: field for field in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise Misconfigured(f"pool {pool}: no option {name!r} of a ray pool; there are: {', '.join(known)}")
            if type(value).__name__ != known[name].type:
                raise Misconfigured(f"pool {pool}: option {name} must be {known[name].type}, not {value!r}")
        options = cls(**given)
        if options.address != "local" and not options.address.rpartition(":")[2].isdigit():
            raise Misconfigured(f"pool {pool}: option address must be local or host:port, not {options.address!r}")
        return options
