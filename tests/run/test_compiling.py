"""What forecasts need compiled: by another process, once something has run, and all of it."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from numba.core.event import Event, Listener, install_listener

from broker.decide import proposing, steering
from broker.decide.outlook import foresee
from broker.decide.warm import steering as warm
from broker.model.jobs import JobState
from broker.model.offers import Tier
from broker.model.pools import KeepWarm
from broker.run.capacity.autopilot import Autopilot
from broker.run.capacity.compiling import Preparation, compile_all, compiled_apart
from broker.run.capacity.forecasting import Forecasting
from broker.run.clock import SystemClock
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.store import open_store
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.store_values import job
from tests.decide.test_outlook import NOW, runs
from tests.run.past import BURST, RAY, offer


def test_it_is_done_once_and_only_where_something_has_run(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    done: list[str] = []

    async def prepare() -> None:
        done.append("compiled")

    async def look() -> int:
        await foresight._be_prepared()
        return len(done)

    foresight = Forecasting({}, store, SystemClock(), Preparation(prepare))
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


LOADING = """
import asyncio, sys, threading
from pathlib import Path
from tests.run.test_autopilot import Mode, open_store, pilot

class Watch:
    def find_spec(name, path, target=None):
        print(name, threading.current_thread() is threading.main_thread())

assert "broker.decide.steering" not in sys.modules
sys.meta_path.insert(0, Watch)
folder = Path(sys.argv[1])

async def decide():
    autopilot, running, _ = await pilot(open_store(f"sqlite:///{folder / 'broker.db'}"), folder, Mode.ON)
    assert await autopilot.nodes(running)

asyncio.run(decide())
"""
DAY = date(2026, 2, 16)
KEPT = KeepWarm(scaledown_window_s=60.0)


class Compiled(Listener):  # type: ignore[misc]  # Numba has no types
    """What has to be compiled, as no process has before."""

    def __init__(self) -> None:
        self.functions: list[str] = []

    def on_start(self, event: Event) -> None:
        self.functions.append(str(event.data))

    def on_end(self, event: Event) -> None:
        """Nothing."""


@pytest.mark.parametrize("days", [1, 10])
def test_forecasts_and_the_autopilot_find_everything_compiled(days: int) -> None:
    compile_all()
    seen, aim = runs(days), warm.wanted(BURST, [2.0])
    assert aim is not None
    with install_listener("numba:compile", listener := Compiled()):
        assert foresee(RAY, seen, NOW) is not None
        assert steering.wish(RAY, [BURST], seen, NOW, DAY) is not None
        warm.steer_warm(warm.ran([replace(run, pool="burst") for run in seen], BURST, NOW), aim, KEPT, 0)
        proposing.propose(RAY, [BURST], seen, [offer("year", Tier.COMMIT_1Y, "0.1")], NOW, DAY)
    assert listener.functions == []


async def test_the_autopilot_waits_until_that_is_so(tmp_path: Path) -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    async def prepare() -> None:
        begun.set()
        await done.wait()

    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    settings = AutopilotSettings(mode=Mode.ON, every_s=0.01)
    autopilot = Autopilot(settings, {}, store, SystemClock(), prepared=Preparation(prepare))
    looked = asyncio.Event()
    autopilot._driven = lambda: looked.set() or []  # type: ignore[method-assign, func-returns-value]
    flying = asyncio.create_task(autopilot.run())
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
        assert not looked.is_set()
        done.set()
        await looked.wait()
    flying.cancel()
    await asyncio.wait([flying])
    store.close()


def test_what_weighs_is_loaded_beside_the_event_loop(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {name: here == "True" for name, here in (line.split() for line in said if line.startswith("broker.decide"))}
    assert found.keys() >= {"broker.decide.steering", "broker.decide.warm.steering", "broker.decide.outlook"}
    assert not any(found.values()), f"loaded by the event loop: {found}"
