"""The runner: an order → its command, run on this node under a process that sees every descendant, and how it ended.

Runs inside a warm Ray worker (ordinary jobs), or as a program of its own (`python -m executors.ray_cluster.runner DIR`:
Ray programs, started by the Jobs API).
"""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from executors.ray_cluster.attempt_dir import AttemptDir
from executors.ray_cluster.environment import EnvironmentFailed, prepare
from executors.ray_cluster.memory_limit import MemoryLimit
from executors.ray_cluster.order import Order
from executors.ray_cluster.processes import children, descendants, end, send

QUIET_START_S = 0.02  # a command that ends sooner is not announced as running first
LOOK_S = 0.25  # how often the size of its output is looked at
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

Started = Callable[[int], None]


def run(order: Order, started: Started, visible_gpus: str | None = None) -> dict[str, Any]:
    """Runs it to its end and returns what an `AttemptReport` says of an end, as plain values.

    `started` is called with the time in nanoseconds when the command has been running for a moment.
    """
    folder = AttemptDir(Path(order.root) / "attempts" / order.attempt_id)
    folder.make()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder.root_pid.write_text(str(os.getpid()))
    with folder.stdout.open("ab") as out, folder.stderr.open("ab") as err:
        try:
            argv, envs = _prepare(order, folder, visible_gpus, err)
        except (EnvironmentFailed, OSError, shutil.Error) as error:
            return _finish(folder, _ended("failed", exit_code=125, reason=f"could not be set up: {error}"))
        outcome = _command(order, folder, argv, envs, out, err, started)
    _say_if_dropped(folder, order.max_log_bytes)
    shutil.rmtree(folder.work, ignore_errors=True)
    return _finish(folder, outcome)


def _finish(folder: AttemptDir, outcome: dict[str, Any]) -> dict[str, Any]:
    folder.write_end(outcome)
    return outcome


def _ended(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "exit_code": None, "signal": None, "started_ns": None, "reason": "", **more} | {
        "ended_ns": time.time_ns()
    }


def _prepare(
    order: Order, folder: AttemptDir, visible_gpus: str | None, log: IO[bytes]
) -> tuple[list[str], dict[str, str]]:
    if order.workdir is not None and not folder.work.exists():
        shutil.copytree(order.workdir, folder.work, symlinks=True)
    folder.work.mkdir(exist_ok=True)
    for target, source in order.file_mounts.items():
        _mount(folder.work, target, source)
    envs = _environment(order, folder, visible_gpus)
    envs |= prepare(order, folder.work, envs, log)
    if order.payload is None:
        return list(order.argv), envs
    payload = folder.path / "payload"
    folder.write_private(payload, order.payload)
    python = f"{envs['VIRTUAL_ENV']}/bin/python" if order.requirements else sys.executable
    return [python, str(Path(__file__).with_name("call.py")), str(payload), str(folder.result)], envs


def _mount(work: Path, target: str, source: str) -> None:
    """Copies a file or folder to where the job wants it; below its working directory when the path is absolute."""
    place = work / target.lstrip("/").removeprefix("~/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_dir():
        shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, place)


def _environment(order: Order, folder: AttemptDir, visible_gpus: str | None) -> dict[str, str]:
    envs = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": os.environ.get("HOME", str(folder.work)),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "" if order.emulated else (visible_gpus or ""),
    }
    if order.emulated and order.gpus:
        envs["BROKER_EMULATED_GPUS"] = f"{order.gpus:g}x {order.gpu_model}"
    if order.num_nodes > 1:
        envs |= {"BROKER_NODE_RANK": str(order.rank), "BROKER_MASTER_ADDR": order.master}
        envs["BROKER_NUM_NODES"] = str(order.num_nodes)
    if order.ray_program:
        envs |= {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    return envs | order.envs


def _command(
    order: Order,
    folder: AttemptDir,
    argv: list[str],
    envs: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    started: Started,
) -> dict[str, Any]:
    if folder.cancelled.exists():
        return _ended("cancelled", reason="cancelled before it ran")
    before = set(children(os.getpid()))
    limit = MemoryLimit(order.attempt_id, order.memory_bytes) if order.memory_bytes else None
    started_ns = time.time_ns()
    try:
        process = subprocess.Popen(
            argv,
            cwd=folder.work,
            env=dict(envs),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        return _ended("failed", exit_code=code, reason=f"{argv[0]}: {error.strerror}", started_ns=started_ns)
    if limit:
        limit.take(process.pid)
    timed_out = _watch(order, folder, process, started_ns, started)
    end(lambda: [pid for pid in descendants(os.getpid()) if pid not in before and _reap(pid)], 0.0)
    oom = limit is not None and limit.oom_killed
    if limit:
        limit.close()
    return _outcome(order, folder, process.returncode, started_ns, timed_out=timed_out, oom=oom)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _reap(pid: int) -> bool:
    """Whether it still runs; takes leave of it if it is our child and has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()


def _watch(order: Order, folder: AttemptDir, process: subprocess.Popen[bytes], since_ns: int, started: Started) -> bool:
    """Waits for its end; announces it, cuts its output, ends it when its time is up. True when its time was up."""
    waiting = select.poll()
    pidfd = os.pidfd_open(process.pid)
    waiting.register(pidfd, select.POLLIN)
    announced = timed_out = False
    try:
        while not waiting.poll(1000 * (LOOK_S if announced else QUIET_START_S)):
            if not announced:
                started(since_ns)
                announced = True
            for path in (folder.stdout, folder.stderr):
                _cut(path, order.max_log_bytes)
            ran_s = (time.time_ns() - since_ns) / 1e9
            if order.max_duration_s is not None and ran_s > order.max_duration_s and not timed_out:
                timed_out = True
                end(lambda: [pid for pid in [process.pid, *descendants(process.pid)] if _alive(process, pid)], 5.0)
    finally:
        os.close(pidfd)
    process.wait()
    return timed_out


def _alive(process: subprocess.Popen[bytes], pid: int) -> bool:
    return process.poll() is None if pid == process.pid else Path(f"/proc/{pid}").exists()


def _cut(path: Path, limit: int) -> None:
    if path.stat().st_size > limit + (1 << 16):
        os.truncate(path, limit)
        path.with_suffix(".cut").touch()


def _say_if_dropped(folder: AttemptDir, limit: int) -> None:
    for path in (folder.stdout, folder.stderr):
        if path.stat().st_size > limit or path.with_suffix(".cut").exists():
            os.truncate(path, min(limit, path.stat().st_size))
            with path.open("ab") as file:
                file.write(f"\n[broker: output beyond {limit} bytes was dropped]\n".encode())


def _outcome(
    order: Order, folder: AttemptDir, code: int, started_ns: int, *, timed_out: bool, oom: bool
) -> dict[str, Any]:
    signum = -code if code < 0 else None
    exit_code = 128 - code if code < 0 else code
    more = {"exit_code": exit_code, "signal": signum, "started_ns": started_ns}
    if folder.cancelled.exists():
        return _ended("cancelled", **more, reason="cancelled")
    if timed_out:
        return _ended("timed_out", **{**more, "exit_code": 124}, reason=f"ran longer than {order.max_duration_s:g} s")
    if code == 0:
        return _ended("succeeded", **more)
    if oom:
        return _ended("failed", **more, reason=f"used more memory than its {order.memory_bytes / 2**30:.3g} GiB")
    if signum is not None:
        return _ended("failed", **more, reason=f"ended by signal {signal.Signals(signum).name}")
    return _ended("failed", **more, reason=_why(exit_code, folder))


def _why(exit_code: int, folder: AttemptDir) -> str:
    if exit_code != 127:
        return f"exit code {exit_code}"
    with folder.stderr.open("rb") as file:
        said = file.read(500).decode(errors="replace").strip().splitlines()
    return f"a command was not found: {said[-1]}" if said else "a command was not found"


def cancel(root: str, attempt_id: str, grace_s: float) -> None:
    """Ends what runs under an attempt on this node: SIGTERM to its tree, SIGKILL after the grace."""
    folder = AttemptDir(Path(root) / "attempts" / attempt_id)
    folder.make()
    folder.cancelled.touch()
    if folder.root_pid.exists():
        worker = int(folder.root_pid.read_text())
        end(lambda: [] if folder.end.exists() else _under(worker), grace_s)


def _under(worker: int) -> list[int]:
    """Descendants that still run; a worker's zombies are its own to bury."""
    return [pid for pid in descendants(worker) if not _zombie(pid)]


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def main(path: str) -> int:
    """Runs the order in an attempt's folder and gives its exit code; for Ray programs."""
    folder = AttemptDir(Path(path))
    order: Order = pickle.loads(folder.order.read_bytes())
    folder.order.unlink()
    signal.signal(signal.SIGTERM, lambda *_: send(descendants(os.getpid()), signal.SIGTERM))
    running = folder.path / "running"

    def started(at_ns: int) -> None:
        running.write_text(str(at_ns))

    outcome = run(order, started, os.environ.get("CUDA_VISIBLE_DEVICES"))
    return outcome["exit_code"] if outcome["exit_code"] is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
