"""Volumes ↔ rows, and the jobs that use them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from broker.model.errors import Conflict, UnknownName
from broker.model.jobs import JOB_ENDS
from broker.model.volumes import EVERYBODY, Access, Volume
from broker.run.store.kept_tables import volumes
from broker.run.store.projects import no_project, there_is
from broker.run.store.rows import Values
from broker.run.store.specs import chunks
from broker.run.store.tables import jobs, specs
from broker.run.store.transactions import Transactions

_SHOWN = 3


class StoredVolumes(Transactions):
    """`broker.volume_store.VolumeStore` in SQL."""

    def add_volume(self, volume: Volume) -> None:
        """Stores a new one. Raises Conflict when there is one of this name, InvalidInput without its project."""
        values = {
            "name": volume.name,
            "place": volume.place,
            "user_name": volume.user,
            "created_ns": volume.created_ns,
            **_of_projects(volume),
        }
        with self._write() as connection:
            _check_project(connection, volume.project)
            if connection.execute(select(volumes.c.name).where(volumes.c.name == volume.name)).first():
                raise Conflict(f"there is a volume {volume.name!r}: use it, or choose another name")
            connection.execute(insert(volumes).values(values))

    def volumes(self) -> tuple[Volume, ...]:
        """All of them by name."""
        with self._read() as connection:
            return tuple(map(_volume, connection.execute(select(volumes).order_by(volumes.c.name))))

    def volume(self, name: str) -> Volume:
        """One of them. Raises UnknownName."""
        with self._read() as connection:
            return _named(connection, name)

    def share_volume(self, name: str, project: str, access: Access | None) -> Volume:
        """Says what jobs of another project, or of `EVERYBODY`, may do with it; None: nothing any more.

        Raises UnknownName, and InvalidInput without this project.
        """
        with self._write() as connection:
            if access is not None and project != EVERYBODY:
                _check_project(connection, project)
            volume = _named(connection, name)
            others = {other: given for other, given in volume.shares.items() if other != project}
            return _changed(connection, replace(volume, shares=others | ({project: access} if access else {})))

    def give_volume(self, name: str, project: str) -> Volume:
        """Makes it a project's. Raises UnknownName, and InvalidInput without this project."""
        with self._write() as connection:
            _check_project(connection, project)
            volume = _named(connection, name)
            others = {other: given for other, given in volume.shares.items() if other != project}
            return _changed(connection, replace(volume, project=project, shares=others))

    def jobs_with(self, name: str, limit: int) -> tuple[str, ...]:
        """Jobs that use a volume and have not ended, oldest first."""
        with self._read() as connection:
            return _jobs_with(connection, name, limit)

    def drop_volume(self, name: str) -> None:
        """Removes one. Raises UnknownName, and Conflict while a job that has not ended uses it."""
        with self._write() as connection:
            if used := _jobs_with(connection, name, _SHOWN + 1):
                more = " and others" if len(used) > _SHOWN else ""
                raise Conflict(
                    f"the volume {name!r} is in use by {', '.join(used[:_SHOWN])}{more}: "
                    "cancel what uses it, or wait for its end"
                )
            if not connection.execute(delete(volumes).where(volumes.c.name == name)).rowcount:
                raise no_volume(name)


def _jobs_with(connection: Connection, name: str, limit: int) -> tuple[str, ...]:
    """Jobs share their specs: those of what has not ended are few, and are read."""
    running = jobs.c.state.not_in(JOB_ENDS)
    used = select(specs.c.id, specs.c.body).where(specs.c.id.in_(select(jobs.c.spec_id).where(running).distinct()))
    named = used.where(specs.c.body.contains(json.dumps(name), autoescape=True))
    ids = [row.id for row in connection.execute(named) if name in (json.loads(row.body).get("volumes") or {}).values()]
    found: list[str] = []
    for chunk in chunks(ids):
        query = select(jobs.c.id).where(jobs.c.spec_id.in_(chunk), running).order_by(jobs.c.seq).limit(limit)
        found += connection.execute(query).scalars()
    return tuple(found[:limit])


def no_volume(name: str) -> UnknownName:
    """The error for a volume that there is not, or that is not somebody's to see."""
    return UnknownName(
        f"there is no volume {name!r}: `broker volume list` shows them, `broker volume create` makes one"
    )


def _volume(row: Any) -> Volume:
    return Volume(
        name=row.name,
        place=row.place,
        user=row.user_name,
        created_ns=row.created_ns,
        project=row.project,
        shares={project: Access(access) for project, access in json.loads(row.shares).items()},
    )


def _named(connection: Connection, name: str) -> Volume:
    row = connection.execute(select(volumes).where(volumes.c.name == name)).first()
    if row is None:
        raise no_volume(name)
    return _volume(row)


def _changed(connection: Connection, volume: Volume) -> Volume:
    connection.execute(update(volumes).where(volumes.c.name == volume.name).values(_of_projects(volume)))
    return volume


def _of_projects(volume: Volume) -> Values:
    return {"project": volume.project, "shares": json.dumps(volume.shares, sort_keys=True)}


def _check_project(connection: Connection, name: str) -> None:
    if not there_is(connection, name):
        raise no_project(name)
