"""Leases → work: each pool that this broker drives is driven, others are known by what their brokers tell of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from broker.decide.pool_state import PoolState
from broker.model.errors import StoreError
from broker.model.leases import LEADER, Lease
from broker.run.attempts.dispatch import Dispatcher
from broker.run.members.duty import Duty
from broker.run.members.membership import Membership
from broker.run.members.peers import Peers
from broker.run.members.views import dump_view, load_view
from broker.run.pools import RunningPool

log = structlog.get_logger()

PUBLISH_EVERY_S: Final = 1.0


class Duties:
    """What this broker does for the pools that it drives, and knows of the others."""

    def __init__(
        self,
        membership: Membership,
        pools: dict[str, RunningPool],
        make: Callable[[RunningPool], Duty],
        seen: Callable[[Lease, PoolState], RunningPool],
    ) -> None:
        """`make` is for a pool that is driven here, `seen` for one that only another broker's configuration has."""
        self._membership = membership
        self._pools = pools
        self._make = make
        self._seen = seen
        self._views: dict[str, tuple[str, PoolState]] = {}
        self._stood: tuple[object, ...] = ()
        self.now: dict[str, Duty] = {}

    async def run(self, changed: Callable[[], None]) -> None:
        """Does what there is to do until cancelled; `changed` is called when brokers or their leases are others."""
        self.now.clear()
        async with asyncio.TaskGroup() as tasks:
            while True:
                for lease in self._membership.standing.leases:
                    if lease.name != LEADER and not self._membership.holds(lease.name):
                        self._know(lease)
                for name, running in self._pools.items():
                    if self._membership.lease(name) is None:
                        running.told(PoolState(pool=running.pool, capacity=None, problem="no broker drives it yet"))
                    if self._membership.holds(name) and name not in self.now:
                        running.told(None)
                        self.now[name] = self._make(running)
                        tasks.create_task(self.now[name].run())
                if self._is_other():
                    changed()
                await self._membership.renewed()

    def _is_other(self) -> bool:
        standing = self._membership.standing
        before = self._stood
        self._stood = (standing.others, tuple((each.name, each.holder, each.view) for each in standing.leases))
        return self._stood != before

    def _know(self, lease: Lease) -> None:
        """Takes over what another broker tells of its pool."""
        state = self._viewed(lease)
        running = self._pools.get(lease.name)
        if running is None:
            if state is None:
                return
            running = self._pools[lease.name] = self._seen(lease, state)
        if state is None:
            state = PoolState(pool=running.pool, capacity=None, problem=f"its broker, {lease.holder_name}, starts")
        if lease.holder is None:
            state = replace(state, problem=f"its broker, {lease.holder_name}, is away")
        running.told(state)

    def _viewed(self, lease: Lease) -> PoolState | None:
        if not lease.view:
            return None
        text, state = self._views.get(lease.name, ("", None))
        if text != lease.view or state is None:
            try:
                state = load_view(lease.view)
            except StoreError as error:
                log.warning("a pool of another broker can't be used here", pool=lease.name, error=str(error))
                return None
            self._views[lease.name] = (lease.view, state)
        return state


class Telling:
    """Lets others know how the pools are that are driven here, as long as there are others."""

    def __init__(self, membership: Membership, peers: Peers, dispatcher: Dispatcher) -> None:
        self._membership = membership
        self._peers = peers
        self._dispatcher = dispatcher
        self._told: dict[str, PoolState] = {}

    async def run(self) -> None:
        """Tells until cancelled."""
        while True:
            await asyncio.sleep(PUBLISH_EVERY_S)
            if not self._membership.alone and self._membership.sure:
                try:
                    await self._tell()
                except StoreError as error:
                    log.warning("other brokers were not told of pools; it is tried again", error=str(error))

    async def _tell(self) -> None:
        states = {each.pool.name: each for each in await self._dispatcher.states()}
        news = {
            name: state
            for name, state in states.items()
            if self._membership.holds(name) and _timeless(state) != self._told.get(name)
        }
        if news:
            views = {name: dump_view(state) for name, state in news.items()}
            await asyncio.to_thread(self._membership.publish, views)
            self._told |= {name: _timeless(state) for name, state in news.items()}
            self._peers.tell("view")


def _timeless(state: PoolState) -> PoolState:
    """The state without when it was seen: what is idle has no news."""
    seen = state.capacity
    return state if seen is None else replace(state, capacity=replace(seen, as_of_ns=0))
