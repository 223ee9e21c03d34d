"""A state folder → a client of the daemon that runs on it, which is started first on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from broker.model.errors import DaemonError, InvalidInput, Problem
from broker.run.lifecycle import DaemonFile, is_running, start_daemon
from broker.sdk.client import Client

_COMES_UP_S: Final = 30.0  # how long a daemon that somebody else is starting is waited for
_LOOK_EVERY_S: Final = 0.05
_ANSWERS_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def connect(
    state_dir: Path,
    *,
    start: bool = False,
    config: Path | None = None,
    user: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Client:
    """A client of the daemon of this state folder.

    With `start`, one is started if none is there; `progress` gets a line for each step. Raises `DaemonError`: there is
    none, it does not come up, or it does not answer.
    """
    if client := _client(state_dir, user):
        return client
    if not is_running(state_dir):
        if not start:
            from broker.run.aftermath import aftermath

            raise DaemonError(aftermath(state_dir).told)
        start_daemon(state_dir, config, progress)
    return _soon(state_dir, user)


def elsewhere(url: str, token: str | None) -> Client:
    """A client of a broker that somebody else runs.

    Raises `InvalidInput` for an address that would show the token, and for a token that can't be one.
    """
    if problem := _address_problem(url):
        raise InvalidInput(Problem(field="BROKER_URL", message=problem))
    token = (token or "").strip()
    if not all("!" <= character <= "~" for character in token):
        message = "has a character that no token has: copy what `broker token create` printed, and only that"
        raise InvalidInput(Problem(field="BROKER_TOKEN", message=message))
    return Client(url, token)


def _address_problem(url: str) -> str:
    """What is wrong with an address; nothing if it is one of a broker."""
    try:
        parts = urlsplit(url)
        is_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        return f"is no address: {error}"
    if is_host and (parts.username or parts.path.strip("/") or parts.query or parts.fragment):
        return "must end after the host and its port: a broker has a host of its own, and BROKER_TOKEN has the token"
    if not is_host or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        return f"must be https://HOST, or http:// on this machine (an SSH tunnel, say), not {url!r}"
    return ""


def _soon(state_dir: Path, user: str | None) -> Client:
    """The client of a daemon that is there but may not answer yet."""
    until = time.monotonic() + _COMES_UP_S
    while time.monotonic() < until:
        if client := _client(state_dir, user):
            return client
        if not is_running(state_dir):
            raise DaemonError(f"the broker on {state_dir} ended while it started: see {state_dir / 'daemon.log'}")
        time.sleep(_LOOK_EVERY_S)
    raise DaemonError(
        f"the broker on {state_dir} runs but did not answer within {_COMES_UP_S:g} s: see {state_dir / 'daemon.log'}"
    )


def _client(state_dir: Path, user: str | None) -> Client | None:
    daemon = DaemonFile.read(state_dir)
    if daemon is None:
        return None
    client = Client(daemon.address, _token(daemon), user)
    return client if client.healthy(_ANSWERS_S) else None


def _token(daemon: DaemonFile) -> str | None:
    if daemon.address.startswith("unix:") or not daemon.token_file:
        return None
    try:
        return Path(daemon.token_file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise DaemonError(f"the broker's token can't be read from {daemon.token_file}: {error}") from error
