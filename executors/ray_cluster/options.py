"""Options of a Ray pool, as its configuration has them, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from broker.model.errors import Misconfigured

CLIENT = "ray://"
ROOT = "~/.gpu-broker/ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a Ray pool."""

    address: str = (
        "local"  # "local": ours, on this machine; host:port: one that this machine is part of; ray://host:port
    )
    token_file: str = ""  # file with a running cluster's token; both empty: where Ray itself looks for it
    token_env: str = ""  # environment variable of the broker with that token
    dashboard: str = ""  # http://host:port of a running cluster's dashboard; empty: as the cluster says
    labels: dict[str, str] = field(default_factory=dict)  # of a running cluster's nodes that are this pool's; {}: all
    root: str = ROOT  # folder on a running cluster's nodes for what attempts read and write; the pool's is below it
    autoscaled: bool = False  # the running cluster has an autoscaler, which starts nodes that are asked for
    node_wait_s: int = 600  # how long an attempt waits for a node to be started before it goes elsewhere
    object_store_bytes: int = 200_000_000  # of each local node
    preload: tuple[str, ...] = ()  # modules that functions of this pool find imported

    @classmethod
    def of(cls, pool: str, given: Mapping[str, Any]) -> Options:
        """Raises `Misconfigured` for an unknown option or a value of the wrong type."""
        known = {each.name: str(each.type).partition("[")[0] for each in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise Misconfigured(f"pool {pool}: no option {name!r} of a ray pool; there are: {', '.join(known)}")
            if type(value).__name__ != known[name].replace("tuple", "list"):
                raise Misconfigured(f"pool {pool}: option {name} must be {known[name]}, not {value!r}")
        options = cls(**{**given, "preload": tuple(given.get("preload", ()))})
        options._check(pool)
        return options

    def _check(self, pool: str) -> None:
        host, _, port = self.address.removeprefix(CLIENT).rpartition(":")
        if self.local:
            for name in ("token_file", "token_env", "dashboard", "labels", "autoscaled"):
                if getattr(self, name):
                    raise Misconfigured(f"pool {pool}: option {name} is for a running cluster; address says local")
        elif not host or "/" in host or not port.isdigit():
            raise Misconfigured(
                f"pool {pool}: option address must be local, host:port or ray://host:port, not {self.address!r}"
            )
        if not all(isinstance(value, str) for value in self.labels.values()):
            raise Misconfigured(f"pool {pool}: option labels must have text as values, not {self.labels}")
        if not all(isinstance(module, str) for module in self.preload):
            raise Misconfigured(f"pool {pool}: option preload must be a list of texts, not {list(self.preload)}")
        if self.token_file and self.token_env:
            raise Misconfigured(f"pool {pool}: options token_file and token_env: say one of them")

    @property
    def local(self) -> bool:
        """Whether the cluster is one of our own on this machine."""
        return self.address == "local"

    def environment(self, pool: str) -> dict[str, str]:
        """Variables with which a driver of a running cluster proves itself. Raises `Misconfigured` without a token."""
        if self.token_file:
            try:
                token = Path(self.token_file).expanduser().read_text().strip()
            except OSError as error:
                raise Misconfigured(f"pool {pool}: token_file {self.token_file}: {error.strerror or error}") from None
        elif self.token_env:
            token = os.environ.get(self.token_env, "")
        else:
            return {}
        if not token:
            raise Misconfigured(f"pool {pool}: {self.token_file or 'the variable ' + self.token_env} has no token")
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
