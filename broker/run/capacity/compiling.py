"""What forecasts need compiled → compiled by a process of its own, which gives way to all others.

After an installation the first forecast takes some 20 s of a processor for that. In the broker's own process, where one
thread computes at a time, jobs would be placed and recorded at half the speed meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Final

import structlog

from broker.model.money import NS_PER_S
from broker.model.pools import Pool, PoolKind
from broker.model.resources import Resources
from broker.model.runs import Run

log = structlog.get_logger()

_NODE: Final = Resources(cpus=4)
_POOL: Final = Pool(name="any", kind=PoolKind.CLUSTER, executor="any", unit=_NODE, max_units=4)
_HOUR_NS: Final = 3_600 * NS_PER_S
_NOW_NS: Final = 500_000 * _HOUR_NS
_HOURS: Final = 10 * 24  # of history: forecasts from longer ones need nothing more


async def compiled_apart() -> None:
    """Returns when it is done. Where it can't be done, the first forecast compiles what it needs."""
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, stdin=nowhere, stdout=nowhere, stderr=nowhere
    )
    try:
        if code := await process.wait():
            log.warning("nothing could be compiled for forecasts: the broker does it itself", exit_code=code)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def compile_all() -> None:
    """Makes a forecast from a history that has something of everything."""
    from broker.decide.outlook import foresee

    foresee(_POOL, list(map(_run, range(_HOURS))), _NOW_NS)


def _run(hours_ago: int) -> Run:
    """An hour and a half, so that one or two run at any time, the last of them still."""
    began_ns = _NOW_NS - (hours_ago + 1) * _HOUR_NS
    ended_ns = began_ns + 3 * _HOUR_NS // 2
    user = f"user {hours_ago % 3}"
    ended = ended_ns if ended_ns <= _NOW_NS else None
    return Run(user=user, pool=_POOL.name, resources=_NODE, started_ns=began_ns, ended_ns=ended)


if __name__ == "__main__":
    os.nice(19)
    compile_all()
