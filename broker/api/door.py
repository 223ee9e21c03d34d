"""The door of `broker serve`: where it listens, how it is protected, and who answers there."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from broker.model.errors import DaemonError, InvalidInput, Problem

MOST_WORKERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What TLS needs."""

    file: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where `broker serve` answers."""

    host: str
    port: int  # 0: any that is free
    certificate: Certificate | None = None
    behind_proxy: bool = False  # who ends TLS, and is the only one that reaches it
    workers: int = 1  # processes that answer; with one, it is the broker's own
    drain_s: float = 3.0  # between the signal to end and the end: a load balancer looks elsewhere meanwhile

    @property
    def shown(self) -> str:
        """The address, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"


def door(
    listen: str,
    *,
    workers: int = 1,
    certificate: Path | None = None,
    key: Path | None = None,
    behind_proxy: bool = False,
    drain_s: float = 3.0,
) -> Door:
    """The door that options describe. Raises `InvalidInput`: what is not loopback needs TLS."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise _wrong("--listen", f"must be HOST:PORT, as 0.0.0.0:8080 or [::1]:8080, not {listen!r}")
    if (certificate is None) != (key is None):
        raise _wrong("--tls-cert", "a certificate and its key belong together: give --tls-cert and --tls-key")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if path is not None and not path.is_file():
            raise _wrong(option, f"there is no file {path}")
    if not (certificate or behind_proxy or _is_loopback(host)):
        raise _wrong(
            "--listen",
            f"{host} is not loopback, and tokens must not go over a network in clear: give --tls-cert and --tls-key, "
            "or --behind-proxy where a proxy ends TLS and is the only one that reaches it",
        )
    if not 1 <= workers <= MOST_WORKERS:
        raise _wrong("--workers", f"must be between 1 and {MOST_WORKERS}, not {workers}")
    return Door(
        host=host,
        port=int(port),
        certificate=Certificate(file=certificate, key=key) if certificate and key else None,
        behind_proxy=behind_proxy,
        workers=workers,
        drain_s=drain_s,
    )


def opened(door: Door) -> socket.socket:
    """The socket of a door, bound. Raises `DaemonError`."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)
        with ExitStack() as unless_bound:
            sock = unless_bound.enter_context(socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            unless_bound.pop_all()
    except OSError as error:
        raise DaemonError(f"{door.shown} can't be listened to ({error.strerror}): choose another --listen") from error
    return sock


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(option: str, message: str) -> InvalidInput:
    return InvalidInput(Problem(field=option, message=message))
