"""The bundle: a working directory and its mounts → one tar, for nodes that don't share this machine's files."""

from __future__ import annotations

import io
import os
import tarfile
from typing import Final

from executors.on_machine.order import Order

MOST_BYTES: Final = 256 * 2**20  # it travels in memory


def packed(order: Order) -> bytes | None:
    """The tar of all that an order names on this machine; None where that is nothing.

    Raises OSError for what is not there, can't be read, would lie outside the working directory, or is too much.
    """
    if order.workdir is None and not order.file_mounts:
        return None
    file = io.BytesIO()

    def small_enough(info: tarfile.TarInfo) -> tarfile.TarInfo:
        if file.tell() + info.size > MOST_BYTES:
            raise OSError(
                f"the job's files are more than {MOST_BYTES // 2**20} MiB, too much to send along: "
                "leave out what it does not need, or put it where the nodes can read it"
            )
        return info

    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        if order.workdir is not None:
            tar.add(order.workdir, arcname=".", filter=small_enough)
        for target, source in order.file_mounts.items():
            tar.add(source, arcname=_place(target), filter=small_enough)
    return file.getvalue()


def _place(target: str) -> str:
    place = os.path.normpath(target.removeprefix("~/").lstrip("/"))
    if place.startswith(".."):
        raise OSError(f"file_mounts: {target} would lie outside the job's working directory")
    return place
