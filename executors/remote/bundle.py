"""A launch request → the order for the agent in the container, and the file of all that has to come along."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any, Final

from broker.model.jobs import LaunchRequest
from broker.model.volumes import variable

BUNDLE: Final = "/broker/bundle.tar"  # where a container finds it
ORDER: Final = "/broker/order.json"  # and the order, where it is too long for an argument
VOLUMES: Final = "/broker/volumes"  # where a container has those of its pool
GRACE_S: Final = 5.0  # between SIGTERM and SIGKILL of a command whose time is up


def order_of(request: LaunchRequest, max_bytes: int) -> dict[str, Any]:
    """What the agent is told; no value of a secret is in it."""
    spec = request.spec
    return {
        "argv": ["bash", "-c", spec.run] if spec.run is not None else list(spec.argv),
        "call": request.function_payload is not None,
        "setup": spec.setup or "",
        "volumes": [[_inside(path), f"{VOLUMES}/{name}", variable(name)] for path, name in spec.volumes.items()],
        "secret_files": sorted(request.secret_files),
        "limit_s": spec.max_duration_s,
        "grace_s": GRACE_S,
        "max_bytes": max_bytes,
    }


def is_call(request: LaunchRequest | None) -> bool:
    """Whether it is known to be a Python call: without what it returned, it has not succeeded."""
    return request is not None and request.function_payload is not None


def wanted(request: LaunchRequest) -> bool:
    """Whether anything has to come along."""
    return bool(request.spec.workdir or request.spec.file_mounts or request.function_payload is not None)


def packed(request: LaunchRequest, path: Path) -> None:
    """Writes the working directory, its mounts and the call as one tar. Raises OSError, saying which file.

    The same content gives the same bytes, so that a provider that knows them takes them over the wire once.
    """
    private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(private, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        if request.spec.workdir:
            tar.add(_there(request.spec.workdir), arcname="work", filter=_plain)
        for target, source in request.spec.file_mounts.items():
            tar.add(_there(source), arcname=_place(target), filter=_plain)
        if request.function_payload is not None:
            info = tarfile.TarInfo("payload")
            info.size = len(request.function_payload)
            tar.addfile(info, io.BytesIO(request.function_payload))


def _there(path: str) -> str:
    if not os.path.exists(path):
        raise FileNotFoundError(2, "no such file or directory", path)
    return path


def _inside(target: str) -> str:
    """A path in the job, below its working directory."""
    return os.path.normpath(target.removeprefix("~/").lstrip("/"))


def _place(target: str) -> str:
    place = _inside(target)
    if place.startswith(".."):
        raise OSError(f"file_mounts: {target} would lie outside the job's working directory")
    return f"work/{place}"


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info
