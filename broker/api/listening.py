"""Settings → bound sockets: a Unix socket that its owner alone can open, and doors on loopback that ask for a token."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from broker.model.errors import DaemonError
from broker.run.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the daemon answers."""

    trusted: socket.socket | None  # whose mode is the protection
    guarded: socket.socket | None  # on loopback: asks for the token
    token: str

    @property
    def dashboard(self) -> str:
        """Where browsers find the dashboard; empty for nowhere."""
        return f"http://127.0.0.1:{self.guarded.getsockname()[1]}" if self.guarded else ""

    @property
    def address(self) -> str:
        """Where clients call."""
        return f"unix:{self.trusted.getsockname()}" if self.trusted else self.dashboard


def listen(settings: Settings) -> Listening:
    """Binds what the settings name. Raises `DaemonError`, naming the setting."""
    trusted, door, setting = None, settings.listen, "listen"
    if settings.listen == "unix":
        trusted, door, setting = _unix(settings.state_dir / "broker.sock"), settings.dashboard, "dashboard"
    guarded = None if door == "off" else loopback(int(door.removeprefix("loopback:")), setting)
    return Listening(trusted=trusted, guarded=guarded, token=secrets.token_urlsafe(32))


def loopback(port: int, setting: str) -> socket.socket:
    """A socket on 127.0.0.1; port 0 is any that is free. Raises `DaemonError`, naming the setting."""
    # asyncio sends at once only where the protocol is named: else each answer waits 40 ms for an acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError as error:
        raise DaemonError(
            f"port {port} on 127.0.0.1 can't be used ({error.strerror}): set `{setting}` to another"
        ) from error
    return sock


def _unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError as error:
        raise DaemonError(
            f"the socket {path} can't be made ({error}); a path over 100 characters is too long for a socket: "
            "set state_dir to a shorter one, or listen to loopback:PORT"
        ) from error
    finally:
        os.umask(before)
    return sock
