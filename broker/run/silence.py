"""Pools that do not answer → whether what runs there is still waited for at the end of a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.model.money import NS_PER_S
from broker.run.pools import RunningPool

WAITED_FOR_S: Final = 60.0  # a pool that went away comes back within this, or stays away


class Silence:
    """Since when pools are seen not to answer."""

    def __init__(self, pools: Mapping[str, RunningPool]) -> None:
        self._pools = pools
        self._since_ns: dict[str, int] = {}

    def lasts(self, pool: str, now_ns: int) -> bool:
        """Whether it has been silent for so long that nobody waits for it."""
        running = self._pools.get(pool)
        if running is not None and running.usable:
            self._since_ns.pop(pool, None)
            return False
        return now_ns - self._since_ns.setdefault(pool, now_ns) >= WAITED_FOR_S * NS_PER_S
