"""Projects while the broker runs: who sees which, and what they may do there.

They are read from the store again when they are older than a moment: another broker may have changed them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from broker.decide.access import role, visible
from broker.model.errors import Forbidden, InvalidInput, Problem, UnknownName
from broker.model.projects import DEFAULT_PROJECT, Project, Role
from broker.model.tokens import Identity, Scope
from broker.ports import Clock, Store

FRESH_S: Final = 1.0


class Projects:
    """The projects of the store."""

    def __init__(self, store: Store, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is told of every change made here."""
        self._store, self._clock, self._told = store, clock, changed
        self._every: tuple[Project, ...] = ()
        self._read_s = -FRESH_S

    async def every(self) -> tuple[Project, ...]:
        """All of them by name."""
        if time.monotonic() - self._read_s >= FRESH_S:
            began_s = time.monotonic()
            self._every = await asyncio.to_thread(self._store.projects)
            self._read_s = began_s
        return self._every

    async def seen(self, who: Identity) -> tuple[Project, ...]:
        """Those that somebody sees, by name."""
        every = await self.every()
        names = visible(who, every)
        return every if names is None else tuple(each for each in every if each.name in names)

    async def one(self, who: Identity, name: str) -> Project:
        """One of them. Raises `UnknownName`, also where it is not theirs to see."""
        found = next((each for each in await self.seen(who) if each.name == name), None)
        if found is None:
            raise UnknownName(Problem(field="project", message=f"there is no project {name!r}"))
        return found

    async def named(self, name: str) -> Project:
        """The project of a job. Raises `InvalidInput` where there is none."""
        found = next((each for each in await self.every() if each.name == name), None)
        if found is None:
            raise InvalidInput(Problem(field="project", message=f"there is no project {name!r}"))
        return found

    async def reading(self, who: Identity, wanted: Iterable[str] = ()) -> frozenset[str] | None:
        """The projects that are read where somebody asks for some, or for all; None: everything.

        Raises `UnknownName` for one that is not theirs to see.
        """
        names = frozenset([(await self.one(who, name)).name for name in wanted])
        return names or visible(who, await self.every())

    async def check(self, who: Identity, name: str, needed: Role) -> None:
        """Raises `UnknownName` where a project is not theirs to see, `Forbidden` where their role is not enough."""
        found = role(who, await self.one(who, name))
        if found is None or not found.allows(needed):
            raise Forbidden(f"in the project {name!r} this needs the role `{needed}`: you have `{found}`")

    async def check_submitting(self, who: Identity, name: str, field: str) -> None:
        """The same for who submits a job there, and says so in a field. Raises `InvalidInput`, `Forbidden`."""
        try:
            await self.check(who, name, Role.SUBMITTER)
        except UnknownName as error:
            raise InvalidInput(*(replace(each, field=field) for each in error.problems)) from error

    async def check_job(self, who: Identity, job_id: str, needed: Role) -> None:
        """The same for a job or an array. Raises `UnknownName`, `Forbidden`."""
        if visible(who, await self.every()) is None:
            return
        name = await asyncio.to_thread(self._store.project_of, job_id)
        try:
            await self.check(who, name or "", needed)
        except UnknownName:
            # Not even the nearest ids: they may be of a project that is not theirs to see.
            raise UnknownName(f"there is no job {job_id!r}") from None

    async def only_of(self, who: Identity, job_id: str) -> str | None:
        """Whose jobs alone somebody may end or retry, of the project that a job is in; None: everybody's there."""
        if who.user is None or who.scope is Scope.ADMIN:
            return None
        name = await asyncio.to_thread(self._store.project_of, job_id)
        project = next((each for each in await self.every() if each.name == name), None)
        return None if project and role(who, project) is Role.ADMIN else who.user

    async def create(self, project: Project) -> Project:
        """Makes a project. Raises `Conflict` for a name that is taken."""
        made = replace(project, created_ns=self._clock.now_ns())
        await asyncio.to_thread(self._store.add_project, made)
        return await self._changed(project.name)

    async def change(self, project: Project) -> Project:
        """Writes all of a project but its members. Raises `UnknownName`."""
        await asyncio.to_thread(self._store.change_project, project)
        return await self._changed(project.name)

    async def delete(self, name: str) -> None:
        """Removes a project. Raises `UnknownName`, and `Conflict` while it has jobs that have not ended."""
        await asyncio.to_thread(self._store.drop_project, name)
        await self._changed(DEFAULT_PROJECT)

    async def keep_member(self, name: str, user: str, as_: Role) -> Project:
        """Makes somebody a member, or gives a member another role. Raises `UnknownName`."""
        await asyncio.to_thread(self._store.keep_member, name, user, as_)
        return await self._changed(name)

    async def drop_member(self, name: str, user: str) -> Project:
        """Ends a membership. Raises `UnknownName`."""
        await asyncio.to_thread(self._store.drop_member, name, user)
        return await self._changed(name)

    async def _changed(self, name: str) -> Project:
        self._read_s = -FRESH_S
        self._told()
        return next(each for each in await self.every() if each.name == name)
