"""A launch request → the files that its submitter sends to the Ray cluster: entrypoint, agent, order, bundle."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Final

from broker.model.jobs import LaunchRequest
from executors.kuberay import entry
from executors.remote import agent, bundle

MOST_BYTES: Final = 1_000_000  # of a Secret; Kubernetes takes 1 MiB
_CODE: Final = {"entry.py": Path(entry.__file__).read_bytes(), "agent.py": Path(agent.__file__).read_bytes()}


def files_of(
    request: LaunchRequest, max_stream_bytes: int, grace_s: float, stop_grace_s: float | None = None
) -> dict[str, bytes]:
    """Content by name; secrets are in the order. Raises OSError for what is not there or too much.

    `grace_s` is between SIGTERM and SIGKILL for a command that is late; `stop_grace_s` for one that Ray stops.
    """
    order = bundle.order_of(request, max_stream_bytes) | {"envs": request.envs, "grace_s": grace_s}
    order["stop_grace_s"] = grace_s if stop_grace_s is None else stop_grace_s
    files = {**_CODE, "order.json": json.dumps(order).encode()}
    if bundle.wanted(request):
        with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
            path = Path(folder, "bundle.tar")
            bundle.packed(request, path)
            files["bundle.tar"] = gzip.compress(path.read_bytes(), mtime=0)
    size = sum(map(len, files.values()))
    if size > MOST_BYTES:
        raise OSError(
            f"its workdir, file_mounts, environment and arguments are {size:,} bytes when packed, and a Kubernetes "
            f"Secret holds {MOST_BYTES:,}: put the data into the image, a volume or a bucket"
        )
    return files
