"""Outcomes: how a process ended, and what is known about why → what a report says of an attempt's end."""

from __future__ import annotations

import signal
import time
from typing import Any

from executors.on_machine.attempt_dir import MOST_RESULT_BYTES, AttemptDir
from executors.on_machine.order import Order

Outcome = dict[str, Any]


def ended(state: str, **more: Any) -> Outcome:
    """An end, now."""
    known = {"state": state, "exit_code": None, "signal": None, "started_ns": None, "reason": ""}
    return {**known, **more, "ended_ns": time.time_ns()}


def not_started(argv0: str, error: int, started_ns: int) -> Outcome:
    """A command that could not be executed, by errno."""
    import errno
    import os

    code = 127 if error == errno.ENOENT else 126
    return ended("failed", exit_code=code, reason=f"{argv0}: {os.strerror(error)}", started_ns=started_ns)


def of_exit(
    order: Order, folder: AttemptDir, code: int, started_ns: int, *, timed_out: bool, oom: bool, cancelled: bool
) -> Outcome:
    """The end of a command that ran; `code` is its exit code, or minus the signal that ended it."""
    signum = -code if code < 0 else None
    more = {"exit_code": 128 - code if code < 0 else code, "signal": signum, "started_ns": started_ns}
    if cancelled:
        return ended("cancelled", **more, reason="cancelled")
    if timed_out:
        return ended("timed_out", **{**more, "exit_code": 124}, reason=f"ran longer than {order.max_duration_s:g} s")
    if code == 0:
        return ended("succeeded", **more)
    if oom:
        return ended("failed", **more, reason=f"used more memory than its {order.memory_bytes / 2**30:.3g} GiB")
    if signum is not None:
        return ended("failed", **more, reason=f"ended by signal {signal.Signals(signum).name}")
    return ended("failed", **more, reason=_why(code, folder))


def with_lost_output(outcome: Outcome, lost: str) -> Outcome:
    """An outcome that says that output was lost, where it was."""
    return {**outcome, "reason": "; ".join(filter(None, (outcome["reason"], lost)))}


def with_result_in_bounds(outcome: Outcome, folder: AttemptDir) -> Outcome:
    """An outcome that is a failure where a function returned more than is kept; that is dropped."""
    size = folder.result.stat().st_size if folder.result.exists() else 0
    if size <= MOST_RESULT_BYTES:
        return outcome
    folder.result.unlink()
    said = f"its result has {size:,} bytes, and at most {MOST_RESULT_BYTES:,} are kept: write a file, return its path"
    failed = {"state": "failed"} if outcome["state"] == "succeeded" else {}
    return with_lost_output({**outcome, **failed}, said)


def _why(exit_code: int, folder: AttemptDir) -> str:
    if exit_code != 127:
        return f"exit code {exit_code}"
    said = folder.first_words().splitlines()
    return f"a command was not found: {said[-1]}" if said else "a command was not found"
