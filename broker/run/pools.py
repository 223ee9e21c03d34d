"""Running pools: each configured pool with its executor, opened, reopened and with its problem where it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from broker.decide.pool_state import PoolState
from broker.model.errors import ExecutorError, UnknownName
from broker.model.pools import Capacity, Pool
from broker.ports import Clock, Executor, ExecutorContext
from broker.run.open_pools import OpenPools
from broker.run.plugins import make_executor, make_node_group

log = structlog.get_logger()

OPEN_TIMEOUT_S = 120.0


class RunningPool:
    """One pool and its executor. `problem` is why it takes no work now; None when it does."""

    def __init__(
        self,
        pool: Pool,
        state_dir: Path,
        clock: Clock,
        build: Callable[[ExecutorContext], Executor] = make_executor,
        max_stream_bytes: int = 10 * 10**9,
        volumes: str = "",
        opened: OpenPools | None = None,
    ) -> None:
        """`opened` is told of it before it may start anything."""
        self.pool = pool
        self._opened = opened
        self.executor: Executor | None = None
        self.problem: str | None = "starting"
        self.last_capacity: Capacity | None = None
        self.elsewhere: PoolState | None = None  # what is told of it while another broker drives it
        self.begins = True  # False: it is opened only to end what an earlier broker left in it
        self.settled = asyncio.Event()  # since its last start it has been tried to open it, or is another broker's
        self._context = ExecutorContext(
            pool=pool, state_dir=state_dir, clock=clock, max_stream_bytes=max_stream_bytes, volumes=volumes
        )
        self._build = build

    @property
    def usable(self) -> bool:
        """Whether it takes work."""
        return (self.executor is not None or self.elsewhere is not None) and self.problem is None

    @property
    def as_now(self) -> Pool:
        """The pool, with its containers kept warm as they are now."""
        kept = self.last_capacity.keep_warm if self.last_capacity else None
        return replace(self.pool, scaledown_window_s=kept.scaledown_window_s) if kept else self.pool

    def told(self, state: PoolState | None) -> None:
        """Another broker drives it, which says this of it; None: now it may be driven here."""
        if state is not None:
            self.problem, self.last_capacity = state.problem, state.capacity
            self.settled.set()
        elif self.elsewhere is not None:
            self.problem, self.last_capacity = "starting", None
            self.settled.clear()
        self.elsewhere = state

    async def open(self) -> Executor:
        """Constructs and opens the executor. Raises `Unreachable` or `Misconfigured`, kept as `problem`."""
        is_new = self._opened is not None and self._opened.add(self.pool.name)
        try:
            return await self._open()
        except Exception:
            if self._opened is not None and is_new:
                self._opened.discard(self.pool.name)
            raise

    async def _open(self) -> Executor:
        try:
            if self.executor is None:
                self._context.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
                context = replace(self._context, nodes=make_node_group(self.pool), begins=self.begins)
                self.executor = self._build(context)
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self.executor.open()
        except TimeoutError:
            self.problem = f"did not come up within {OPEN_TIMEOUT_S:g} s"
            raise
        except ExecutorError as error:
            self.fails(error)
            raise
        self.problem = None
        log.info("pool ready", pool=self.pool.name)
        return self.executor

    def fails(self, error: Exception) -> None:
        """It can't be used, for a reason that is shown beside its name."""
        self.problem = str(error).removeprefix(f"pool {self.pool.name}: ")

    async def capacity(self) -> Capacity | None:
        """What it has now; None when it can't say, which is then its problem."""
        if self.elsewhere is not None:
            return self.last_capacity
        if self.executor is None or self.problem:
            return None
        try:
            self.last_capacity = await self.executor.capacity()
        except ExecutorError as error:
            self.fails(error)
            log.warning("pool does not answer", pool=self.pool.name, error=str(error))
            return None
        except Exception as error:
            self.problem = f"its executor can't say what it has: {type(error).__name__}: {error}"
            log.exception("pool does not say what it has", pool=self.pool.name)
            return None
        return self.last_capacity

    async def close(self, *, stop: bool) -> None:
        """Closes the executor; with `stop`, ends all that it started. Raises what the executor raises."""
        self.settled.clear()
        if self.executor is not None:
            await self.executor.close(stop=stop)
        self.executor, self.problem = None, "stopped"


def named(pools: Mapping[str, RunningPool], name: str) -> RunningPool:
    """One of them. Raises `UnknownName`."""
    if name not in pools:
        raise UnknownName(f"there is no pool {name!r}; there are {', '.join(sorted(pools))}")
    return pools[name]
