"""Volumes as people ask about them: made, listed with who uses them and how large they are, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from broker.model.errors import Forbidden, InvalidInput, Problem
from broker.model.volumes import ON_THIS_MACHINE, Volume
from broker.run.broker import Broker
from broker.spec.fields import volume_name

USED_BY: Final = 20  # jobs that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStanding:
    """A volume as it is now."""

    volume: Volume
    pools: tuple[str, ...]  # that reach it
    used_by: tuple[str, ...]  # jobs that have not ended, the first ones
    size_bytes: int | None  # None: not known here


class VolumeKeeping:
    """Reads and changes volumes. `only_of` is who may remove theirs alone; None: anybody's."""

    def __init__(self, broker: Broker) -> None:
        self._store, self._clock, self._folders = broker.store, broker.clock, broker.volumes
        self._pools = broker.pools

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """Where volumes can be, and the pools that reach them there."""
        found: dict[str, tuple[str, ...]] = {}
        for name, running in self._pools.items():
            if running.pool.volumes:
                found[running.pool.volumes] = (*found.get(running.pool.volumes, ()), name)
        return found

    async def create(self, name: str, place: str | None, user: str) -> VolumeStanding:
        """Makes a volume; where nothing is said, on this machine. Raises `InvalidInput`, `Conflict`."""
        try:
            volume_name(name)
        except ValueError as error:
            raise InvalidInput(Problem(field="name", message=str(error))) from error
        places = self.places
        at = place or (ON_THIS_MACHINE if ON_THIS_MACHINE in places or not places else min(places))
        if at not in places:
            known = "; ".join(f"{each} ({', '.join(pools)})" for each, pools in sorted(places.items())) or "none"
            raise InvalidInput(Problem(field="place", message=f"no pool has volumes at {at!r}; places: {known}"))
        volume = Volume(name=name, place=at, user=user, created_ns=self._clock.now_ns())
        await asyncio.to_thread(self._make, volume)
        return await self._standing(volume)

    def _make(self, volume: Volume) -> None:
        self._store.add_volume(volume)
        try:
            self._folders.make(volume)
        except BaseException:
            self._store.drop_volume(volume.name)
            raise

    async def every(self, projects: Collection[str] | None = None) -> tuple[VolumeStanding, ...]:
        """All of them by name, with the jobs of these projects that use them; None: of all."""
        return tuple([await self._standing(each, projects) for each in await asyncio.to_thread(self._store.volumes)])

    async def one(self, name: str, projects: Collection[str] | None = None) -> VolumeStanding:
        """One of them. Raises `UnknownName`."""
        return await self._standing(await asyncio.to_thread(self._store.volume, name), projects)

    async def remove(self, name: str, only_of: str | None) -> bool:
        """Removes one with all that is in it; False where that stays, as it is not on this machine.

        Raises `UnknownName`, `Forbidden`, and `Conflict` while a job that has not ended uses it.
        """
        volume = await asyncio.to_thread(self._store.volume, name)
        if only_of not in (None, volume.user):
            message = f"the volume {name!r} is {volume.user}'s: only {volume.user}, or a token with the scope `admin`,"
            raise Forbidden(f"{message} may do this")
        await asyncio.to_thread(self._store.drop_volume, name)
        return await asyncio.to_thread(self._folders.remove, volume)

    def _used_by(self, name: str, projects: Collection[str] | None) -> tuple[str, ...]:
        found = self._store.jobs_with(name, USED_BY)
        return tuple(each for each in found if projects is None or self._store.job(each).spec.project in projects)

    async def _standing(self, volume: Volume, projects: Collection[str] | None = None) -> VolumeStanding:
        return VolumeStanding(
            volume=volume,
            pools=self.places.get(volume.place, ()),
            used_by=await asyncio.to_thread(self._used_by, volume.name, projects),
            size_bytes=await asyncio.to_thread(self._folders.size_bytes, volume),
        )
