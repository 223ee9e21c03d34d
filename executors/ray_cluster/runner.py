"""The runner: an order → its command, run on this node under a process that sees every descendant, and how it ended.

Runs inside a warm Ray worker (ordinary jobs), or as a program of its own (`python -m executors.ray_cluster.runner DIR`:
Ray programs, started by the Jobs API).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Protocol

from executors.on_machine import environment, work
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.environment import EnvironmentFailed
from executors.on_machine.limits import Limits
from executors.on_machine.order import Order
from executors.on_machine.outcome import Outcome, ended, not_started, of_exit, with_lost_output, with_result_in_bounds
from executors.on_machine.output import Output
from executors.on_machine.processes import children, descendants, end, is_zombie, send
from executors.on_machine.warm import Fork, in_memory, warm

QUIET_START_S = 0.05  # a command that ends sooner is not announced as running first
GIVE_UP_S = 10.0  # after the grace, a tree that SIGKILL does not end is left to the kernel
LOOK_S = 0.25  # how often it is looked whether its time is up
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

Started = Callable[[int], None]


def run(order: Order, started: Started) -> Outcome:
    """Runs it to its end and returns what an `AttemptReport` says of an end, as plain values.

    `started` is called with the time in nanoseconds when the command has been running for a moment.
    """
    gang = order.num_nodes > 1 and not order.ray_program
    folder = AttemptDir(Path(order.root) / "attempts" / order.attempt_id, order.rank if gang else None)
    folder.make()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder.root_pid.write_text(str(os.getpid()))
    try:
        with folder.stderr.open("ab") as log:
            argv, envs = _prepare(order, folder, log)
    except (EnvironmentFailed, OSError, shutil.Error) as error:
        return _finish(folder, ended("failed", exit_code=125, reason=f"could not be set up: {error}"))
    outcome = _command(order, folder, argv, envs, started)
    shutil.rmtree(folder.work, ignore_errors=True)
    return _finish(folder, outcome)


def _finish(folder: AttemptDir, outcome: Outcome) -> Outcome:
    shutil.rmtree(folder.secrets, ignore_errors=True)
    folder.write_end(outcome)
    return outcome


def _prepare(order: Order, folder: AttemptDir, log: IO[bytes]) -> tuple[list[str], dict[str, str]]:
    work.copy(order, folder.work)
    # Ray leaves the node's own in place for work without GPUs, which would see those that others hold.
    visible_gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") if order.gpus else ""
    envs = work.base_variables(order, os.environ.get("HOME", str(folder.work)), visible_gpus)
    if order.ray_program:
        envs |= {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    if order.secret_files:
        work.secret_files(order, folder.secrets)
    envs |= order.envs | work.secret_paths(order, folder.secrets)
    envs |= environment.variables(order, envs["PATH"])
    if environment.wanted(order):
        _build(order, folder.work, envs, log)
    return work.call_argv(order, environment.python_of(order), _payload(folder), folder.result), envs


def _payload(folder: AttemptDir) -> Path:
    return folder.own / "payload"


def _build(order: Order, cwd: Path, envs: Mapping[str, str], log: IO[bytes]) -> None:
    home = environment.home_of(order)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / "ready").exists():
            return
        for step in environment.steps(order):
            env = dict(envs) if step.as_job else dict(os.environ)
            done = subprocess.run(
                step.argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            log.write(done.stdout + done.stderr)
            log.flush()
            if done.returncode:
                raise environment.failure(step, done.returncode, done.stderr or done.stdout)
        (home / "ready").touch()


def _command(order: Order, folder: AttemptDir, argv: list[str], envs: Mapping[str, str], started: Started) -> Outcome:
    if folder.cancelled.exists():
        return ended("cancelled", reason="cancelled before it ran")
    started_ns = time.time_ns()
    with Output(folder, order.max_stream_bytes) as output:
        try:
            begun = _called(order, folder, envs, output) or _begin(order, folder, argv, envs, output)
        except OSError as error:
            folder.result.unlink(missing_ok=True)
            return not_started(argv[0], error.errno or 0, started_ns)
        with closing(begun):
            code, timed_out = _watch(order, begun, started_ns, started)
            end(begun.left, 0.0)
            oom = begun.oom
    if order.payload is not None and folder.result.exists() and not folder.result.stat().st_size:
        folder.result.unlink()  # it ended before it had written what came of it
    cancelled = folder.cancelled.exists()
    outcome = of_exit(order, folder, code, started_ns, timed_out=timed_out, oom=oom, cancelled=cancelled)
    return with_lost_output(with_result_in_bounds(outcome, folder), output.lost)


class Begun(Protocol):
    """What runs for an attempt: a command, or a call."""

    pid: int

    def fileno(self) -> int:
        """A file descriptor that is readable once the process has ended."""
        ...

    def poll(self) -> int | None:
        """Its exit code, or minus a signal; None while it runs."""
        ...

    def left(self) -> list[int]:
        """What it started and still runs, once it has ended."""
        ...

    @property
    def oom(self) -> bool:
        """Whether the kernel has ended some of it for want of memory."""
        ...

    def close(self) -> None:
        """Nobody waits for it any longer."""
        ...


class _Command:
    """A command; what runs `beside` it under this process is not its own."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, beside: set[int]) -> None:
        self.pid, self.poll = process.pid, process.poll
        self._limits, self._beside = limits, beside
        self._pidfd = os.pidfd_open(process.pid)

    def fileno(self) -> int:
        return self._pidfd

    def left(self) -> list[int]:
        return [pid for pid in descendants(os.getpid()) if pid not in self._beside and _reap(pid)]

    @property
    def oom(self) -> bool:
        return self._limits.oom_kills > 0

    def close(self) -> None:
        os.close(self._pidfd)
        self._limits.close()


def _called(order: Order, folder: AttemptDir, envs: Mapping[str, str], output: Output) -> Fork | None:
    """A function, called in a fork of a warm process; None where it needs a process of its own."""
    own = order.ray_program or any(name.startswith(("PYTHON", "LD_")) for name in order.envs)
    if order.payload is None or own:
        return None
    try:
        process = warm(environment.python_of(order), order.preload)
    except OSError:
        return None
    folder.root_pid.write_text(str(process.pid))  # where a cancellation looks
    folder.write_private(folder.result, b"")
    with in_memory(order.payload) as payload, folder.result.open("wb") as result:
        files = (*output.writers, payload.fileno(), result.fileno())
        fork = process.call(order.attempt_id, order.memory_bytes, envs, folder.work, files)
    output.started()
    return fork


def _begin(order: Order, folder: AttemptDir, argv: list[str], envs: Mapping[str, str], output: Output) -> _Command:
    out, err = output.writers
    cwd, beside = folder.work, set(children(os.getpid()))
    if order.payload is not None:
        folder.write_private(_payload(folder), order.payload)
    _check_program(argv[0], envs, cwd)
    limits = Limits(order.attempt_id, memory_bytes=order.memory_bytes)
    prefix, preexec = _dying_with_parent()
    try:
        process = subprocess.Popen(
            [*limits.entering(), *prefix, *argv],
            cwd=cwd,
            env=dict(envs),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=preexec,
        )
    except OSError:
        limits.close()
        raise
    output.started()
    return _Command(process, limits, beside)


def _check_program(program: str, envs: Mapping[str, str], cwd: Path) -> None:
    """Raises OSError for a command that can't be executed."""
    there = str(cwd / program) if "/" in program else program
    if shutil.which(there, path=envs["PATH"]) is None:
        error = errno.EACCES if "/" in program and Path(there).exists() else errno.ENOENT
        raise OSError(error, os.strerror(error), program)


def _dying_with_parent() -> tuple[list[str], Callable[[], None] | None]:
    """How a command is started so that it dies with its worker.

    By setpriv, where it is installed: with a `preexec_fn` all of a worker would be copied first, which takes longer
    than most short commands.
    """
    setpriv = shutil.which("setpriv")
    return ([], _die_with_parent) if setpriv is None else ([setpriv, "--pdeathsig", "KILL", "--"], None)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _reap(pid: int) -> bool:
    """Whether it still runs; takes leave of it if it is our child and has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()


def _watch(order: Order, begun: Begun, since_ns: int, started: Started) -> tuple[int, bool]:
    """Waits for its end; announces it, ends it when its time is up. Its exit code, and whether its time was up."""
    waiting = select.poll()
    waiting.register(begun.fileno(), select.POLLIN)
    announced = timed_out = False
    while (code := begun.poll()) is None:
        if waiting.poll(1000 * (LOOK_S if announced else QUIET_START_S)):
            continue
        if not announced:
            started(since_ns)
            announced = True
        ran_s = (time.time_ns() - since_ns) / 1e9
        if order.max_duration_s is not None and ran_s > order.max_duration_s and not timed_out:
            timed_out = True
            end(lambda: [pid for pid in [begun.pid, *descendants(begun.pid)] if _alive(begun, pid)], 5.0)
    return code, timed_out


def _alive(begun: Begun, pid: int) -> bool:
    return begun.poll() is None if pid == begun.pid else Path(f"/proc/{pid}").exists()


def cancel(root: str, attempt_id: str, rank: int | None, grace_s: float) -> None:
    """Ends what runs under an attempt, or one rank of it, on this node: SIGTERM to its tree, SIGKILL after the grace.

    Goes on until the runner has said how it ended, as it may be about to start the command at this very moment. A
    runner that has not begun finds the mark that is left for it.
    """
    folder = AttemptDir(Path(root) / "attempts" / attempt_id, rank)
    folder.make()
    folder.cancelled.touch()
    begun, asked = time.monotonic(), set[int]()
    while not folder.end.exists() and time.monotonic() < begun + grace_s + GIVE_UP_S:
        if not (folder.root_pid.exists() and (text := folder.root_pid.read_text())):
            return
        under = _under(int(text))
        if folder.end.exists():  # what runs under a worker since it said so is another attempt's
            return
        late = time.monotonic() >= begun + grace_s
        send(under if late else [pid for pid in under if pid not in asked], signal.SIGKILL if late else signal.SIGTERM)
        asked.update(under)
        time.sleep(0.02)


def _under(worker: int) -> list[int]:
    """Descendants that still run; a worker's zombies are its own to bury."""
    return [pid for pid in descendants(worker) if not is_zombie(pid)]


def main(path: str) -> int:
    """Runs the order in an attempt's folder and gives its exit code; for Ray programs."""
    folder = AttemptDir(Path(path))
    order: Order = pickle.loads(folder.order.read_bytes())
    folder.order.unlink()
    signal.signal(signal.SIGTERM, lambda *_: send(descendants(os.getpid()), signal.SIGTERM))
    running = folder.path / "running"

    def started(at_ns: int) -> None:
        running.write_text(str(at_ns))

    outcome = run(order, started)
    return outcome["exit_code"] if outcome["exit_code"] is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
