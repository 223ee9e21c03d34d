"""Containers of functions: who is in which, which wait warm, and since when each is paid; told by agents and counted.

Modal says how many containers a variant of a function has, not which; agents say in which they are. What is counted and
of which no agent has told is a container without a name, until an agent turns out to be in it.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import asdict
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError
from broker.model.pools import KeepWarm
from broker.model.resources import Resources
from executors.modal_pool.functions import Functions, Variant
from executors.modal_pool.site import Site
from executors.on_machine.journal import Journal
from executors.remote.meter import Life

log = structlog.get_logger()

MOST_VARIANTS: Final = 50  # that are remembered, and looked after


class Fleet:
    """The containers of one pool's functions."""

    def __init__(self, site: Site, functions: Functions, kept: KeepWarm, look_every_s: float) -> None:
        self._site, self._functions, self._look_every_s = site, functions, look_every_s
        self.kept = kept
        self._used = Journal(site.root / "variants.jsonl")  # oldest first
        self._open: dict[str, Variant] = {}
        self._pending: dict[str, str] = {}  # attempts that were called and have not begun -> their variant
        self._moves = 0  # how often it changed who is where
        self._wake = asyncio.Event()

    async def use(self, variant: Variant) -> None:
        """It is used from now on; Modal is told how its containers are kept. Raises ExecutorError."""
        new, last = variant.id not in self._open, self._last
        self._open[variant.id] = variant
        if last != variant.id:
            self._note(variant)
        if new or (last != variant.id and self._keeps):
            await self._tell(variant.id)
        if last and last != variant.id and self._keeps:
            await self._tell(last)

    def _note(self, variant: Variant) -> None:
        """Remembers it as the last that was used; those that were not for long and have no containers are let go of."""
        if variant.id in self._used.reports:
            self._used.forget(variant.id)
        known = {"environment": variant.environment, "resources": asdict(variant.resources)}
        self._used.write({"attempt_id": variant.id, **known})
        for variant_id in list(self._used.reports)[:-MOST_VARIANTS]:
            if not self._lives(variant_id) and variant_id not in self._pending.values():
                self._used.forget(variant_id)
                self._open.pop(variant_id, None)

    @property
    def _last(self) -> str:
        """The variant that was used last; empty where there is none."""
        return next(reversed(self._used.reports), "")

    @property
    def _keeps(self) -> bool:
        """Whether containers are kept up beyond their idle window."""
        return bool(self.kept.min_containers or self.kept.buffer_containers)

    async def reopen(self) -> None:
        """Goes on with what an earlier broker used."""
        for variant_id, known in self._used.reports.items():
            resources = Resources(**known["resources"])
            self._open[variant_id] = await self._functions.by_id(variant_id, resources, known["environment"])

    async def apply(self) -> None:
        """Tells Modal how containers are `kept`: those of the variant that was used last; of others only what works.

        Raises ExecutorError.
        """
        for variant_id in list(self._open):
            await self._tell(variant_id)
        self._wake.set()

    async def _tell(self, variant_id: str) -> None:
        mine = KeepWarm(scaledown_window_s=self.kept.scaledown_window_s)
        if variant_id == self._last:
            mine = self.kept
        try:
            await self._functions.scale(self._open[variant_id], mine, mine.min_containers)
        except ExecutorError as error:
            if variant_id == self._last:
                raise
            log.info("an old function could not be told", pool=self._site.pool.name, error=str(error))

    @property
    def any(self) -> bool:
        """Whether any function was used here."""
        return bool(self._used.reports)

    def variant(self, variant_id: str) -> Variant | None:
        """A variant that is in use, by its id; None for others."""
        return self._open.get(variant_id)

    # Who is where

    def called(self, attempt_id: str, variant_id: str) -> None:
        """A call was made for an attempt; what it costs until it begins is not known yet."""
        self._pending[attempt_id] = variant_id
        self._site.pending.setdefault(attempt_id, self._site.meter.clock.now_ns())
        self._wake.set()

    def gone(self, attempt_id: str) -> None:
        """It waits for no container any more."""
        self._pending.pop(attempt_id, None)
        self._site.pending.pop(attempt_id, None)
        self._moves += 1
        self._wake.set()

    def hold(self, attempt_id: str, variant_id: str, resources: Resources, container: str, up_s: float) -> str:
        """An attempt is in a container that has been up for some seconds; the unit that it holds."""
        meter, now_ns = self._site.meter, self._site.meter.clock.now_ns()
        unit_id = self._unit(container, variant_id)
        if unit_id is None:
            unit_id = container if not meter.known(container) else f"{container}-{secrets.token_hex(2)}"
            since_ns = now_ns - round(up_s * 1e9)
            cause = attempt_id if since_ns >= self._site.pending.get(attempt_id, now_ns) - 10**9 else None
            meter.begin(unit_id, resources, cause, since_ns, variant_id)
        meter.name(unit_id, container)
        meter.ready(unit_id, now_ns)
        meter.hold(unit_id, attempt_id, resources, now_ns)
        self.gone(attempt_id)
        return unit_id

    def _unit(self, container: str, variant_id: str) -> str | None:
        """The unit that a container is: one of its name, or one that was counted and had none."""
        lives = self._lives(variant_id)
        named = [life["attempt_id"] for life in lives if life.get("container") == container]
        nameless = [life["attempt_id"] for life in lives if not life.get("container")]
        return next(iter([*named, *nameless]), None)

    def _lives(self, variant_id: str) -> list[Life]:
        return [life for life in self._site.meter.up() if life["variant"] == variant_id]

    # Counted

    async def look(self) -> None:
        """Counts containers now and then, while any is up or to be, until cancelled."""
        while True:
            self._wake.clear()
            variants = {life["variant"] for life in self._site.meter.up()} | set(self._pending.values())
            if self._keeps:
                variants.add(self._last)
            for variant_id in variants & self._open.keys():
                await self._count(self._open[variant_id], keeps=self._keeps and variant_id == self._last)
            if not variants & self._open.keys():
                await self._wake.wait()
            else:
                await asyncio.sleep(self._look_every_s)

    async def _count(self, variant: Variant, *, keeps: bool) -> None:
        moves = self._moves
        try:
            up = await self._functions.up(variant)
        except ExecutorError as error:
            log.info("containers could not be counted", pool=self._site.pool.name, error=str(error))
            return
        if moves == self._moves:
            self._take_count(variant, up, keeps)

    def _take_count(self, variant: Variant, up: int, keeps: bool) -> None:
        meter, now_ns = self._site.meter, self._site.meter.clock.now_ns()
        lives = self._lives(variant.id)
        idle = sorted((life for life in lives if not _held(life)), key=_idle_since)
        for life in idle[: max(len(lives) - up, 0)]:
            meter.end(life["attempt_id"], now_ns)
        waiting = sum(one == variant.id for one in self._pending.values())
        if keeps:
            for _ in range(up - len(lives) - waiting):
                unit_id = f"{variant.id}-{secrets.token_hex(4)}"
                meter.begin(unit_id, variant.resources, None, now_ns, variant.id)
                meter.ready(unit_id, now_ns)


def _held(life: Life) -> bool:
    return any(one["ended_ns"] is None for one in life["holders"])


def _idle_since(life: Life) -> Any:
    return max((one["ended_ns"] for one in life["holders"]), default=life["started_ns"])
