"""A thread that does what pools do: it runs the functions that a served broker launches, in this process."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle

from broker.model.jobs import AttemptState
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.fakes import FakeExecutor
from tests.sdk.conftest import Served


@contextmanager
def pools_at_work(served: Served) -> Iterator[list[str]]:
    """Runs what is launched until it is left; the attempts that were run, in order."""
    ran: list[str] = []
    over = threading.Event()
    work = asyncio.run_coroutine_threadsafe(_work(served, ran, over), served.loop)
    try:
        yield ran
    finally:
        over.set()
        work.result(PATIENCE_S)


async def _work(served: Served, ran: list[str], over: threading.Event) -> None:
    while not over.is_set():
        version = served.house.broker.version
        for executor in served.house.executors.values():
            for attempt in executor.running():
                if attempt not in ran:
                    ran.append(attempt)
                    await _run(executor, attempt)
        await served.house.broker.changed(version, 0.05)


async def _run(executor: FakeExecutor, attempt: str) -> None:
    await executor.move(attempt, AttemptState.RUNNING)
    outcome = await asyncio.to_thread(_outcome, executor.runs[attempt].request.function_payload)
    executor.runs[attempt].result = cloudpickle.dumps(outcome)
    good = outcome[0] == "value"
    await executor.move(attempt, AttemptState.SUCCEEDED if good else AttemptState.FAILED, exit_code=0 if good else 1)


def _outcome(payload: bytes | None) -> tuple[Any, ...]:
    try:
        assert payload is not None
        function, args, kwargs = cloudpickle.loads(payload)
        return ("value", function(*args, **kwargs))
    except BaseException as error:
        return ("error", error, traceback.format_exc())
