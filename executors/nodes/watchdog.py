"""The watchdog of a node: what it does, how long it is up, notices of its provider → drain, then end. Nobody is asked.

`python3 watchdog.py CONFIG.json`, as root, on the node itself, with the standard library of Python 3.8 or newer alone:
a broker that died, a network that is cut or a cluster that is lost leave no machine running for longer than the limits
in CONFIG.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from calendar import timegm
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = b"BROKER_ATTEMPT_ID="  # in the environment of all processes of an attempt
IDLE_TITLES = ("ray::IDLE", "ray::Supervisor", "ray::DashboardAgent", "ray::RuntimeEnvAgent")  # of Ray, without work
NODE_ID = b"--node_id="  # argument of Ray's node process
DRAIN_TRIES = 3  # that fail, before an idle node ends without
REFUSED = "not accepted"  # by Ray, because the node has work
COMMAND_S = 60
ESTABLISHED = "01"


class Limits(NamedTuple):
    """Seconds that a node may spend in each way."""

    max_lifetime_s: float  # since it booted, whatever it does
    drain_s: float  # before the end of its lifetime: no new work
    idle_s: float  # without work
    boot_s: float  # until Ray runs
    lost_s: float  # without Ray, once it had run


class Seen(NamedTuple):
    """What is true at one moment; times are seconds since the node booted."""

    up_s: float
    ray: bool  # Ray's node process is there
    work: bool  # something runs, or on a head: somebody is connected
    deadline_s: float | None  # when the provider takes the node away; None: it has not said so


class Memory(NamedTuple):
    """What is remembered from one moment to the next."""

    joined_s: float | None = None  # when Ray was seen last
    worked_s: float | None = None  # when it last had work, or joined


class Verdict(NamedTuple):
    """What to do: "" goes on, "idle" ends if Ray agrees that it is idle, "drain" takes no new work, "end" ends."""

    act: str
    reason: str


def remember(memory: Memory, seen: Seen) -> Memory:
    """The memory after this moment."""
    joined = seen.up_s if seen.ray else memory.joined_s
    worked = seen.up_s if seen.work or (seen.ray and memory.joined_s is None) else memory.worked_s
    return Memory(joined, worked)


def judge(limits: Limits, memory: Memory, seen: Seen) -> Verdict:
    """What the limits say about a node as it is seen, `memory` being of this moment."""
    if seen.up_s >= limits.max_lifetime_s:
        return Verdict(
            "end", f"it has been up for {seen.up_s:.0f} s; at most {limits.max_lifetime_s:.0f} s are allowed"
        )
    if memory.joined_s is None and seen.up_s >= limits.boot_s:
        return Verdict("end", f"Ray did not start within {limits.boot_s:.0f} s")
    if memory.joined_s is not None and seen.up_s - memory.joined_s >= limits.lost_s:
        return Verdict("end", f"Ray has been gone for {seen.up_s - memory.joined_s:.0f} s")
    if seen.deadline_s is not None:
        return Verdict("drain", f"its provider takes it away in {max(seen.deadline_s - seen.up_s, 0):.0f} s")
    if memory.worked_s is not None and seen.up_s - memory.worked_s >= limits.idle_s:
        return Verdict("idle", f"it has been idle for {seen.up_s - memory.worked_s:.0f} s")
    if seen.up_s >= limits.max_lifetime_s - limits.drain_s:
        return Verdict("drain", f"it may be up for {limits.max_lifetime_s - seen.up_s:.0f} s more")
    return Verdict("", "")


def processes(proc: Path) -> Iterator[Path]:
    """The folders of all processes."""
    return (path for path in proc.iterdir() if path.name.isdigit())


def ray_node(proc: Path) -> str:
    """Ray's id of this node, from its process; "" where that is not there."""
    for path in processes(proc):
        if _read(path / "comm").strip() == b"raylet":
            words = _read(path / "cmdline").split(b"\0")
            return next((word[len(NODE_ID) :].decode() for word in words if word.startswith(NODE_ID)), "")
    return ""


def works(proc: Path) -> bool:
    """Whether a process of an attempt, or a Ray worker with work, is there."""
    for path in processes(proc):
        title = _read(path / "cmdline").split(b"\0")[0].decode(errors="replace")
        if title.startswith("ray::"):
            if not title.startswith(IDLE_TITLES):
                return True
        elif MARK in _read(path / "environ"):
            return True
    return False


def connected(proc: Path, port: int) -> bool:
    """Whether another machine is connected to a port of this one."""
    rows = (line.split() for name in ("tcp", "tcp6") for line in _read(proc / "net" / name).decode().splitlines()[1:])
    for _, local, remote, state, *_ in rows:
        here, _, at = local.partition(":")
        if state == ESTABLISHED and int(at, 16) == port and remote.partition(":")[0] != here:
            return True
    return False


def _read(path: Path) -> bytes:
    """A file of a process, which may be gone by now."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _get(url: str, headers: dict[str, str], method: str = "GET") -> str | None:
    """What an address of the provider's metadata says; None when it says nothing, or does not answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=2) as said:
            return str(said.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def ec2_notice(metadata: str) -> float | None:
    """Seconds until AWS takes a spot instance away; None when it does not."""
    token = _get(f"{metadata}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    said = _get(f"{metadata}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token or ""})
    if not said:
        return None
    return timegm(time.strptime(json.loads(said)["time"], "%Y-%m-%dT%H:%M:%SZ")) - time.time()


def gce_notice(metadata: str) -> float | None:
    """Seconds until Google takes a spot machine away, or one with GPUs for maintenance; None when it does not."""
    instance, headers = f"{metadata}/computeMetadata/v1/instance", {"Metadata-Flavor": "Google"}
    if _get(f"{instance}/preempted", headers) == "TRUE":
        return 30.0
    return 3600.0 if (_get(f"{instance}/maintenance-event", headers) or "").startswith("TERMINATE") else None


NOTICES = {"ec2": ec2_notice, "gce": gce_notice}


class Watchdog:
    """One node, watched."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._limits = Limits(*(float(config[name]) for name in Limits._fields))
        self._proc = Path(config.get("proc", "/proc"))
        self._memory = Memory()
        self._deadline: float | None = None
        self._node = ""  # Ray's id of it
        self._drained = False
        self._failed = 0

    def look(self) -> Seen:
        """What is true now."""
        up = float(_read(self._proc / "uptime").split()[0]) - float(self._config.get("booted_s", 0))
        if self._deadline is None and self._config["notice"]:
            left = NOTICES[self._config["notice"]](self._config["metadata"])
            self._deadline = None if left is None else up + left
        port = self._config.get("head_port")
        work = works(self._proc) or (port is not None and connected(self._proc, port))
        self._node = ray_node(self._proc)
        return Seen(up, bool(self._node), work, self._deadline)

    def tick(self) -> bool:
        """Looks, and does what follows; False when the node was told to end."""
        seen = self.look()
        self._memory = remember(self._memory, seen)
        verdict = judge(self._limits, self._memory, seen)
        leaves = verdict.act == "end"
        if verdict.act == "drain":
            self._drain(verdict.reason, "PREEMPTION", ["--deadline-remaining-seconds", str(self._left_s(seen))])
            leaves = not seen.work
        elif verdict.act == "idle":
            leaves = self._drain(verdict.reason, "IDLE_TERMINATION", [])
        return not (leaves and self._end(verdict.reason))

    def _left_s(self, seen: Seen) -> int:
        until = self._limits.max_lifetime_s if seen.deadline_s is None else seen.deadline_s
        return max(int(until - seen.up_s), 1)

    def _drain(self, reason: str, kind: str, more: list[str]) -> bool:
        """Tells Ray to give the node no new work; False when it has work, by Ray's word, or is to be asked again."""
        if self._drained or not self._config["drain"] or not self._node:
            return True
        self._say("draining", reason)
        drain = [
            *self._config["drain"],
            "--node-id",
            self._node,
            "--reason",
            f"DRAIN_NODE_REASON_{kind}",
            "--reason-message",
            reason,
            *more,
        ]
        self._drained, said = run(drain)
        if self._drained or REFUSED in said:
            self._failed = 0
            return self._drained
        self._failed += 1
        return self._failed >= DRAIN_TRIES

    def _end(self, reason: str) -> bool:
        """Ends the node; what fails is tried again at the next look."""
        self._say("ending", reason)
        return run(self._config["end"])[0]

    def _say(self, state: str, reason: str) -> None:
        print(f"{state}: {reason}", flush=True)
        path = Path(self._config["state"])
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"state": state, "reason": reason, "at": time.time()}))
        draft.replace(path)


def run(command: list[str]) -> tuple[bool, str]:
    """Whether a command did what it should, and what it said."""
    try:
        done = subprocess.run(
            command, timeout=COMMAND_S, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", flush=True)
        return False, str(error)
    if done.returncode:
        print(f"{command[0]}: {done.stdout.strip()}", flush=True)
    return done.returncode == 0, done.stdout


def main(config_file: str) -> None:
    """Watches until the node was told to end."""
    config = json.loads(Path(config_file).read_text())
    watchdog = Watchdog(config)
    while True:
        try:
            if not watchdog.tick():
                return
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)  # it must go on: nobody else ends the node
        time.sleep(config["every_s"])


if __name__ == "__main__":
    main(sys.argv[1])
