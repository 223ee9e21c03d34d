"""Volumes as people ask about them: made, listed with who uses them and how large they are, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from broker.model.acting import about
from broker.model.errors import Conflict, Forbidden, InvalidInput, Problem, UnknownName
from broker.model.projects import Role
from broker.model.tokens import Identity
from broker.model.volumes import EVERYBODY, ON_THIS_MACHINE, Access, Volume
from broker.run.broker import Broker
from broker.run.store.volume_keeping import no_volume
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
    """Reads and changes volumes. What somebody may not see is not there for them."""

    def __init__(self, broker: Broker) -> None:
        self._projects = broker.projects
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

    async def create(self, name: str, place: str | None, project: str, user: str) -> VolumeStanding:
        """Makes a volume of a project; where nothing is said, on this machine. Raises `InvalidInput`, `Conflict`."""
        about(name)
        try:
            volume_name(name)
        except ValueError as error:
            raise InvalidInput(Problem(field="name", message=str(error))) from error
        now_ns = self._clock.now_ns()
        volume = Volume(name=name, place=self._place(place), user=user, created_ns=now_ns, project=project)
        await asyncio.to_thread(self._make, volume)
        return await self._standing(volume)

    def _place(self, wanted: str | None) -> str:
        places = self.places
        at = wanted or (ON_THIS_MACHINE if ON_THIS_MACHINE in places or not places else min(places))
        if at not in places:
            known = "; ".join(f"{each} ({', '.join(pools)})" for each, pools in sorted(places.items())) or "none"
            raise InvalidInput(Problem(field="place", message=f"no pool has volumes at {at!r}; places: {known}"))
        return at

    def _make(self, volume: Volume) -> None:
        self._store.add_volume(volume)
        try:
            self._folders.make(volume)
        except BaseException:
            self._store.drop_volume(volume.name)
            raise

    async def every(self, projects: Collection[str] | None = None) -> tuple[VolumeStanding, ...]:
        """Those that jobs of these projects may use, by name, with the jobs of these that do; None: of all."""
        found = [each for each in await asyncio.to_thread(self._store.volumes) if _seen(each, projects)]
        return tuple([await self._standing(each, projects) for each in found])

    async def one(self, name: str, projects: Collection[str] | None = None) -> VolumeStanding:
        """One of them. Raises `UnknownName`."""
        return await self._standing(await self._found(name, projects), projects)

    async def share(self, who: Identity, name: str, project: str, access: Access | None) -> VolumeStanding:
        """Says what jobs of another project, or of `EVERYBODY`, may do with it; None: nothing any more.

        For admins of its project. Raises `UnknownName`, `Forbidden`, and `Conflict` for its own project.
        """
        volume = await self._theirs(who, name)
        if project == volume.project:
            raise Conflict(f"the volume {name!r} is of the project {project!r}, which may read and write anyway")
        if project != EVERYBODY:
            await self._projects.one(who, project)
        kept = await asyncio.to_thread(self._store.share_volume, name, project, access)
        return await self._standing(kept, await self._projects.reading(who))

    async def give(self, who: Identity, name: str, project: str) -> VolumeStanding:
        """Makes it another project's: for admins of both. Raises `UnknownName`, `Forbidden`."""
        await self._theirs(who, name)
        await self._projects.check(who, project, Role.ADMIN)
        kept = await asyncio.to_thread(self._store.give_volume, name, project)
        return await self._standing(kept, await self._projects.reading(who))

    async def remove(self, who: Identity, name: str) -> bool:
        """Removes one with all that is in it; False where that stays, as it is not on this machine.

        For who made it, and admins of its project. Raises `UnknownName`, `Forbidden`, and `Conflict` while a job that
        has not ended uses it.
        """
        volume = await self._theirs(who, name, maker=True)
        await asyncio.to_thread(self._store.drop_volume, name)
        return await asyncio.to_thread(self._folders.remove, volume)

    async def _theirs(self, who: Identity, name: str, *, maker: bool = False) -> Volume:
        """A volume of whose project somebody is admin, or with `maker`, which they made and may still submit to."""
        volume = await self._found(name, await self._projects.reading(who))
        needed = Role.SUBMITTER if maker and who.user == volume.user else Role.ADMIN
        try:
            await self._projects.check(who, volume.project, needed)
        except (UnknownName, Forbidden):
            may = f"who made it, {volume.user}, and admins" if maker else "admins"
            raise Forbidden(
                f"the volume {name!r} is of the project {volume.project!r}: {may} of it may do this"
            ) from None
        return volume

    async def _found(self, name: str, projects: Collection[str] | None) -> Volume:
        volume = await asyncio.to_thread(self._store.volume, name)
        if not _seen(volume, projects):
            raise no_volume(name)
        return volume

    def _used_by(self, name: str, projects: Collection[str] | None) -> tuple[str, ...]:
        found = self._store.jobs_with(name, USED_BY)
        return tuple(each for each in found if projects is None or self._store.project_of(each) in projects)

    async def _standing(self, volume: Volume, projects: Collection[str] | None = None) -> VolumeStanding:
        return VolumeStanding(
            volume=replace(volume, shares=_seen_shares(volume, projects)),
            pools=self.places.get(volume.place, ()),
            used_by=await asyncio.to_thread(self._used_by, volume.name, projects),
            size_bytes=await asyncio.to_thread(self._folders.size_bytes, volume),
        )


def _seen_shares(volume: Volume, projects: Collection[str] | None) -> dict[str, Access]:
    """Not with which others: they may be of projects that who asks does not see."""
    return {
        project: access
        for project, access in volume.shares.items()
        if projects is None or project in projects or project == EVERYBODY
    }


def _seen(volume: Volume, projects: Collection[str] | None) -> bool:
    return projects is None or any(volume.access(each) for each in projects)
