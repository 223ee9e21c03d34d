"""What forecasts need compiled: by another process, once something has run, and all of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numba.core.event import Event, Listener, install_listener

from broker.decide.outlook import foresee
from broker.model.jobs import JobState
from broker.run.capacity.compiling import compile_all, compiled_apart
from broker.run.capacity.foresight import Foresight
from broker.run.clock import SystemClock
from broker.run.store import open_store
from broker.testing.store_values import job
from tests.decide.test_outlook import NOW, runs
from tests.run.past import RAY


def test_it_is_done_once_and_only_where_something_has_run(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    done: list[str] = []

    async def prepare() -> None:
        done.append("compiled")

    async def look() -> int:
        await foresight._be_prepared()
        return len(done)

    foresight = Foresight({}, store, SystemClock(), prepare)
    waiting = job("j1")
    store.add_jobs([waiting], "{}", "hash")
    assert asyncio.run(look()) == 0
    store.record(jobs=[replace(waiting, state=JobState.STARTING)])
    assert [asyncio.run(look()), asyncio.run(look())] == [1, 1]
    store.close()


def test_whoever_ends_the_broker_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = asyncio.create_subprocess_exec

    async def cancelled() -> int | None:
        begun: asyncio.Future[asyncio.subprocess.Process] = asyncio.get_running_loop().create_future()

        async def noted(*command: Any, **how: Any) -> asyncio.subprocess.Process:
            begun.set_result(await begin(*command, **how))
            return begun.result()

        monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
        compiling = asyncio.create_task(compiled_apart())
        process = await begun
        compiling.cancel()
        await asyncio.wait([compiling])
        return process.returncode

    assert asyncio.run(cancelled()) == -9


class Compiled(Listener):  # type: ignore[misc]  # Numba has no types
    """What has to be compiled, as no process has before."""

    def __init__(self) -> None:
        self.functions: list[str] = []

    def on_start(self, event: Event) -> None:
        self.functions.append(str(event.data))

    def on_end(self, event: Event) -> None:
        """Nothing."""


@pytest.mark.parametrize("days", [1, 10])
def test_a_forecast_finds_everything_compiled(days: int) -> None:
    compile_all()
    with install_listener("numba:compile", listener := Compiled()):
        assert foresee(RAY, runs(days), NOW) is not None
    assert listener.functions == []
