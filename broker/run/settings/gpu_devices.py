"""The GPUs of this machine → the pools that hold them, none of them in two pools."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from broker.run.settings.pool_document import PoolPart

Devices = Mapping[str, tuple[int, ...]]


def shared_out(local: Mapping[str, PoolPart], count: int) -> tuple[Devices, Mapping[str, str]]:
    """Which of `count` GPUs are whose, and what is wrong, both by the names of pools whose GPUs are real and here.

    Clusters come first, for their nodes hold theirs all the time; serverless pools get what is left, as many as all
    their containers might use.
    """
    left = list(range(count))
    devices: dict[str, tuple[int, ...]] = {}
    wrong: dict[str, str] = {}
    for name in sorted(local, key=lambda name: local[name].kind != "cluster"):
        part = local[name]
        one = ceil(max((gpu.count for gpu in part.accelerators.choices), default=0) if part.accelerators else 0)
        most = one * (part.max_nodes or part.max_containers or 1)
        least = most if part.kind == "cluster" else one
        if len(left) < least:
            wrong[name] = _too_few(least, count, devices)
        devices[name] = tuple(left[:most])
        del left[:most]
    return devices, wrong


def _too_few(wanted: int, count: int, taken: Devices) -> str:
    if not count:
        return "this machine has no GPU: say emulated: true to run without, or leave them out"
    holders = " and ".join(f"{name} ({len(held)})" for name, held in taken.items() if held)
    kept = f", of which other pools have some already: {holders}" if holders else ""
    are = "is" if wanted == 1 else "are"
    return f"{wanted} {are} wanted, and this machine has {count} GPU{'' if count == 1 else 's'}{kept}"
