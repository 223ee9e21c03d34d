"""The daemon from outside: where it says that it is, how it is started and found, and that there is only one.

`daemon.json` in the state folder names the process and its address; the lock beside it is held for as long as it lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from broker.model.errors import DaemonError
from broker.run.open_pools import OpenPools

SERVER_MODULE = "broker.api.serve"
START_TIMEOUT_S = 180.0
READY = "ready"
FAILED = "failed: "
ALIVE_EVERY_S: Final = 5.0  # so often a daemon notes that it lives
End = Literal["drain", "now"]  # what runs is waited for, or cancelled
_STARTED: list[subprocess.Popen[bytes]] = []  # daemons outlive who started them, who need not wait for their end


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFile:
    """What a daemon says of itself. It stays after one that was killed, or that left pools behind."""

    pid: int
    address: str  # unix:/path or http://127.0.0.1:port
    token_file: str  # of whoever calls on loopback; "" where nobody can
    dashboard: str  # where browsers find it; "" for nowhere
    version: str
    started: str  # ISO 8601, UTC
    by: str = "broker up"  # the command that started it
    config: str = ""  # the configuration that it was given or found; "" for none
    ended: str = ""  # likewise, of an end in good order

    @classmethod
    def path(cls, state_dir: Path) -> Path:
        """Where it is."""
        return state_dir / "daemon.json"

    @classmethod
    def read(cls, state_dir: Path) -> DaemonFile | None:
        """What a daemon wrote that runs or was killed; None when there is nothing readable."""
        last = cls.last(state_dir)
        return last if last is not None and not last.ended else None

    @classmethod
    def last(cls, state_dir: Path) -> DaemonFile | None:
        """What the last daemon wrote, also after its end."""
        try:
            return cls(**json.loads(cls.path(state_dir).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, state_dir: Path) -> None:
        """Replaces the file in one step, readable by its owner only."""
        draft = self.path(state_dir).with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(self.path(state_dir))


@contextmanager
def only_daemon(state_dir: Path) -> Iterator[None]:
    """Holds the state folder for this process. Raises `DaemonError` when another daemon has it."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    state_dir.chmod(0o700)
    with (state_dir / "daemon.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = DaemonFile.read(state_dir)
            who = f"process {running.pid}" if running else "another process"
            raise DaemonError(
                f"a broker is already running on {state_dir} ({who}); use it, end it with `broker down`, "
                "or give this one another state folder (BROKER_STATE_DIR)"
            ) from None
        yield
        _note_end(state_dir)


def _note_end(state_dir: Path) -> None:
    """Forgets the daemon that has ended, unless its pools go on: then it is known by which configuration they run."""
    last = DaemonFile.last(state_dir)
    if last is None or not OpenPools(state_dir).names():
        DaemonFile.path(state_dir).unlink(missing_ok=True)
    else:
        replace(last, ended=datetime.now(UTC).isoformat()).write(state_dir)


def is_running(state_dir: Path) -> bool:
    """Whether a daemon holds the state folder."""
    lock = state_dir / "daemon.lock"
    if not lock.exists():
        return False
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def note_alive(state_dir: Path) -> None:
    """Notes for those who find it dead that the daemon lives now. Raises OSError."""
    os.utime(state_dir / "daemon.lock")


def last_alive(state_dir: Path) -> datetime:
    """When the last daemon noted that it lived. Raises OSError where there was none."""
    return datetime.fromtimestamp((state_dir / "daemon.lock").stat().st_mtime, UTC)


def start_daemon(
    state_dir: Path,
    config: Path | None,
    progress: Callable[[str], None] = lambda _: None,
    end: End | None = None,
) -> None:
    """Starts a daemon in a session of its own and returns when it is ready.

    With `end` it begins nothing: it takes over what an earlier one left, ends it, and then itself.
    `progress` gets a line for each step. Raises `DaemonError` with the daemon's own words when it does not come up.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        where = "name another in BROKER_STATE_DIR, or as state_dir in the configuration"
        raise DaemonError(f"the state folder {state_dir} can't be made ({error.strerror}): {where}") from error
    read_end, write_end = os.pipe()
    # -P: a file of the current folder that is called like a module of Python's would be imported in its place.
    command = [sys.executable, "-P", "-m", SERVER_MODULE, "--ready-fd", str(write_end)]
    if config is not None:
        command += ["--config", str(config)]
    if end is not None:
        command += ["--end", end]
    log_path = state_dir / "daemon.log"
    with log_path.open("ab") as log, os.fdopen(read_end, encoding="utf-8") as says:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write_end,),
            start_new_session=True,
            env={**os.environ, "BROKER_STATE_DIR": str(state_dir)},
        )
        os.close(write_end)
        _STARTED.append(process)
        for line in says:
            text = line.rstrip("\n")
            if text == READY:
                return
            if text.startswith(FAILED):
                raise DaemonError(json.loads(text.removeprefix(FAILED)))
            progress(text)
    code = process.wait()
    raise DaemonError(f"the broker's daemon ended while starting (exit code {code}); see {log_path}")
