"""Ports for a Ray node: chosen here, because two clusters with Ray's defaults get in each other's way."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path

_FIRST = 24_000  # above what Ray takes for the servers of its client
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MANY_TRIES = 1_000


def free_ports(count: int) -> list[int]:
    """Ports that nobody has on any address, all different: each is held until all are found.

    They lie below those that the system gives to outgoing connections: one of these may be taken by anybody between
    now and Ray's start. Raises OSError when there are none.
    """
    first_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    low, high = (_FIRST, first_ephemeral) if first_ephemeral > _FIRST + _MANY_TRIES else (10_000, 65_536)
    with ExitStack() as held:
        return [_take(held, low, high) for _ in range(count)]


def _take(held: ExitStack, low: int, high: int) -> int:
    for _ in range(_MANY_TRIES):
        port = random.randrange(low, high)
        sock = socket.socket()
        try:
            sock.bind(("", port))
        except OSError:
            sock.close()
            continue
        held.enter_context(sock)
        return port
    raise OSError(f"no free port was found between {low} and {high}")
