"""A question that takes long to compute → the answer of a plugin's command, in a process of its own, within limits.

`plan` and `simulate` are commands of plugins (entry points of `broker.commands`): the broker knows their names only.
The loop waits for the process and does nothing else; one that takes too long, or too much memory, ends alone.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from broker.decide.spend import parse_period
from broker.model.errors import BrokerError, InvalidInput, NoCapacity, Problem
from broker.model.money import NS_PER_S
from broker.model.runs import Run
from broker.run.broker import Broker
from broker.run.plugin_command import REFUSED

TIMEOUT_S: Final = 120.0
MOST_OUTPUT: Final = 64 << 20
AT_ONCE: Final = 2
_MOST_WAITING: Final = 8
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "BROKER_STATE_DIR", "XDG_STATE_HOME")


class Studies:
    """Runs commands of plugins on the broker's own history, or on what is sent."""

    process: Sequence[str] = (sys.executable, "-m", "broker.run.plugin_command")  # that runs a command

    def __init__(self, broker: Broker, timeout_s: float = TIMEOUT_S) -> None:
        self._broker = broker
        self._timeout_s = timeout_s
        self._room = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def run(
        self,
        command: str,
        arguments: Sequence[str],
        trace: str,
        files: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """What the command prints as JSON. `files` are there for it by name, and `trace` on its standard input.

        Raises `InvalidInput` with what it refuses, or when it takes too long, and `NoCapacity` when too many wait.
        """
        if self._waiting >= _MOST_WAITING:
            raise NoCapacity(f"{AT_ONCE} plans and simulations are computed and {self._waiting} wait: try again later")
        self._waiting += 1
        try:
            async with self._room:
                return await self._run(command, arguments, trace, files or {}, timeout_s or self._timeout_s)
        finally:
            self._waiting -= 1

    async def _run(
        self, command: str, arguments: Sequence[str], trace: str, files: Mapping[str, str], timeout_s: float
    ) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="broker-study-") as folder:
            for name, text in files.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            process = await asyncio.create_subprocess_exec(
                *(*self.process, command, *arguments, "--json"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(timeout_s):
                    said, wrong = await process.communicate(trace.encode())
            except TimeoutError:
                raise InvalidInput(
                    f"{command} took longer than {timeout_s:g} s: ask for less (a shorter time, longer steps), "
                    f"or use `broker {command}`, which has no limit"
                ) from None
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        return _answer(command, process.returncode or 0, said, wrong)

    async def history(self, period: str) -> str:
        """The broker's own GPU jobs of a period in words, as a trace. Raises `InvalidInput`, also for none."""
        return await asyncio.to_thread(self._history, period)

    def _history(self, words: str) -> str:
        now_ns = self._broker.clock.now_ns()
        try:
            period = parse_period(words, now_ns)
        except InvalidInput as error:
            raise InvalidInput(Problem(field="period", message=str(error))) from error
        until_ns = now_ns if period.until_ns is None else min(period.until_ns, now_ns)
        runs = [
            run
            for run in self._broker.store.runs(period.since_ns or 0)
            if run.resources.gpus and (period.since_ns or 0) <= run.started_ns < until_ns
        ]
        if not runs:
            message = f"no job with a GPU ran in {words!r}: ask for a longer time, or send a `trace`"
            raise InvalidInput(Problem(field="period", message=message))
        return _trace(runs, min(run.started_ns for run in runs), until_ns)


def _trace(runs: Sequence[Run], begin_ns: int, until_ns: int) -> str:
    text = io.StringIO("submit_s,duration_s,gpus\n")
    text.seek(0, io.SEEK_END)
    for run in runs:
        seconds = (max(min(run.ended_ns or until_ns, until_ns), run.started_ns) - run.started_ns) / NS_PER_S
        text.write(f"{(run.started_ns - begin_ns) / NS_PER_S:.3f},{seconds:.3f},{run.resources.gpus:g}\n")
    return text.getvalue()


def _answer(command: str, code: int, said: bytes, wrong: bytes) -> dict[str, Any]:
    last = (wrong.decode(errors="replace").strip().splitlines() or [""])[-1]
    if code == REFUSED:
        raise InvalidInput(*(Problem(**each) for each in json.loads(last)))
    if code or len(said) > MOST_OUTPUT:
        raise BrokerError(f"{command} failed ({last[:500] or f'exit code {code}'}): `broker {command}` says more")
    found: dict[str, Any] = json.loads(said)
    return found
