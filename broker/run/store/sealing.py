"""Sealed values ↔ rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from broker.model.errors import Conflict, UnknownName
from broker.model.secrets import Sealed, Secret
from broker.run.store.kept_tables import secrets
from broker.run.store.transactions import Transactions

KEPT: Final = 10  # versions of a secret


class StoredSecrets(Transactions):
    """`broker.secret_store.SecretStore` in SQL."""

    def add_sealed(self, sealed: Sealed) -> None:
        """Stores a new version and drops the oldest ones. Raises Conflict for one that is there."""
        made, mine = sealed.secret, secrets.c.name == sealed.secret.name
        values = {
            "name": made.name,
            "version": made.version,
            "user_name": made.user,
            "created_ns": made.created_ns,
            "key_id": sealed.key_id,
            "box": sealed.box,
            "projects": json.dumps(made.projects),
        }
        with self._write() as connection:
            if connection.execute(select(secrets.c.name).where(mine, secrets.c.version >= made.version)).first():
                raise Conflict(
                    f"the secret {made.name} was set by somebody else at the same time: look, and set it again"
                )
            connection.execute(insert(secrets).values(values))
            connection.execute(delete(secrets).where(mine, secrets.c.version <= made.version - KEPT))

    def sealed(self, names: Sequence[str] | None = None) -> tuple[Sealed, ...]:
        """All versions of these names, or of all, by name, newest first."""
        query = select(secrets).order_by(secrets.c.name, secrets.c.version.desc())
        if names is not None:
            query = query.where(secrets.c.name.in_(names))
        with self._read() as connection:
            return tuple(map(_sealed, connection.execute(query)))

    def reseal(self, sealed: Sequence[Sealed]) -> None:
        """Replaces the boxes of versions that are still there, all or none."""
        with self._write() as connection:
            for each in sealed:
                mine = (secrets.c.name == each.secret.name) & (secrets.c.version == each.secret.version)
                same = secrets.c.created_ns == each.secret.created_ns  # or it was dropped, and is another one
                values = {"key_id": each.key_id, "box": each.box}
                connection.execute(update(secrets).where(mine, same).values(values))

    def drop_secret(self, name: str) -> None:
        """Removes one with all its versions. Raises UnknownName."""
        with self._write() as connection:
            if not connection.execute(delete(secrets).where(secrets.c.name == name)).rowcount:
                raise no_secret(name)


def no_secret(name: str) -> UnknownName:
    """The error for a secret that there is not, or that is not somebody's to see."""
    return UnknownName(f"there is no secret {name!r}: `broker secret list` shows them")


def _sealed(row: Any) -> Sealed:
    made = Secret(
        name=row.name,
        version=row.version,
        user=row.user_name,
        created_ns=row.created_ns,
        projects=tuple(json.loads(row.projects)),
    )
    return Sealed(secret=made, key_id=row.key_id, box=bytes(row.box))
