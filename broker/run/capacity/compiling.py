"""What forecasts and the autopilot need → compiled by a process of its own, and loaded beside the event loop.

After an installation the first forecast takes some 20 s of a processor for that. In the broker's own process, where one
thread computes at a time, jobs would be placed and recorded at half the speed meanwhile. Loading it takes a second, in
which the event loop would do nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from importlib import import_module
from typing import Final

import structlog

from broker.model.money import NS_PER_S
from broker.model.offers import Offer, Tier
from broker.model.pools import KeepWarm, Pool, PoolKind
from broker.model.resources import Resources
from broker.model.runs import Run
from broker.model.times import day_of

log = structlog.get_logger()

_LOADED: Final = tuple(f"broker.decide.{name}" for name in ("outlook", "proposing", "steering", "warm.steering"))
_NODE: Final = Resources(cpus=4)
_PRICE: Final = Offer(
    id="any",
    provider="any",
    product="any",
    sku="any",
    region="",
    tier=Tier.ON_DEMAND,
    gpu_model="",
    gpu_count=0,
    cpus=None,
    memory_gib=None,
    usd_per_hour=Decimal(1),
    valid_from=date.min,
    source="any",
)
_POOL: Final = Pool(name="any", kind=PoolKind.CLUSTER, executor="any", unit=_NODE, max_units=4, offers=(_PRICE,))
_HOUR_NS: Final = 3_600 * NS_PER_S
_NOW_NS: Final = 500_000 * _HOUR_NS
_HOURS: Final = 10 * 24  # of history: forecasts from longer ones need nothing more


class Preparation:
    """Of one process: done once, by the first who needs it, while others wait for it."""

    def __init__(self, compiling: Callable[[], Awaitable[None]]) -> None:
        self._compiling = compiling
        self._turn = asyncio.Lock()
        self._done = False

    async def ready(self) -> None:
        """Returns when all is compiled and loaded: for what is done now and then, and can wait."""
        if self._done:
            return
        async with self._turn:
            if not self._done:
                await self._compiling()
                await loaded()
                self._done = True


async def loaded() -> None:
    """Returns when all is loaded: for what somebody waits for. It compiles what it needs, where that is not done."""
    if not all(name in sys.modules for name in _LOADED):
        await asyncio.to_thread(lambda: [import_module(name) for name in _LOADED])


async def compiled_apart() -> None:
    """Returns when it is done. Where it can't be done, the first forecast compiles what it needs."""
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, stdin=nowhere, stdout=nowhere, stderr=nowhere
    )
    try:
        if code := await process.wait():
            log.warning("nothing could be compiled apart: the broker does it itself", exit_code=code)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def compile_all() -> None:
    """Makes a forecast, and decides as the autopilot does, from a history that has something of everything."""
    from broker.decide import outlook, steering
    from broker.decide.warm import steering as warm

    runs, day = list(map(_run, range(_HOURS))), day_of(_NOW_NS)
    outlook.foresee(_POOL, runs, _NOW_NS)
    steering.wish(_POOL, [], runs, _NOW_NS, day)
    if (aim := warm.wanted(_POOL, [1.0])) is not None:
        warm.steer_warm(warm.ran(runs, _POOL, _NOW_NS), aim, KeepWarm(scaledown_window_s=60.0), 0)


def _run(hours_ago: int) -> Run:
    """An hour and a half, so that one or two run at any time, the last of them still."""
    began_ns = _NOW_NS - (hours_ago + 1) * _HOUR_NS
    ended_ns = began_ns + 3 * _HOUR_NS // 2
    user = f"user {hours_ago % 3}"
    ended = ended_ns if ended_ns <= _NOW_NS else None
    return Run(user=user, pool=_POOL.name, resources=_NODE, started_ns=began_ns, ended_ns=ended)


HERE: Final = Preparation(compiled_apart)

if __name__ == "__main__":
    os.nice(10)  # of a machine that is busy it still gets a little
    compile_all()
