"""Secrets as people ask about them: set, listed without their values, removed; sealed anew with another key."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from broker.model.errors import Conflict, InvalidInput, Problem
from broker.model.secrets import Secret
from broker.run.broker import Broker
from broker.run.secrecy.secrets import Secrets
from broker.run.store.sealing import no_secret
from broker.spec.fields import env_name

LONGEST: Final = 65_536  # bytes; a process takes no longer variable than twice that


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretStanding:
    """A secret as a line of a list."""

    newest: Secret
    key_id: str  # of the key that its newest version is sealed with


class SecretKeeping:
    """Reads and changes what the store keeps of secrets. No value ever comes out of here."""

    def __init__(self, broker: Broker) -> None:
        self._store, self._clock, self._masks = broker.store, broker.clock, broker.masks
        self._secrets = broker.secrets
        self._turn = asyncio.Lock()  # a key is not exchanged while a value is sealed

    async def set(self, name: str, value: str, user: str, projects: Sequence[str] = ()) -> SecretStanding:
        """Keeps a value as the newest version, for jobs of these projects or all. Raises `InvalidInput`, `Conflict`."""
        try:
            env_name(name)
        except ValueError as error:
            raise InvalidInput(Problem(field="name", message=str(error))) from error
        if problem := _unfit(value):
            raise InvalidInput(Problem(field="value", message=problem))
        async with self._turn:
            return await asyncio.to_thread(self._set, name, value, user, tuple(sorted(set(projects))))

    def _set(self, name: str, value: str, user: str, projects: tuple[str, ...]) -> SecretStanding:
        secrets = self._own()
        last = max((each.secret.version for each in self._store.sealed([name])), default=0)
        now_ns = self._clock.now_ns()
        made = Secret(name=name, version=last + 1, user=user, created_ns=now_ns, projects=projects)
        sealed = secrets.seal(made, value)
        self._store.add_sealed(sealed)
        self._masks.forget()
        return SecretStanding(newest=made, key_id=sealed.key_id)

    async def every(self, projects: Collection[str] | None = None) -> tuple[SecretStanding, ...]:
        """All of them by name that jobs of one of these projects may name; None: all."""
        return await self._named(None, projects)

    async def one(self, name: str, projects: Collection[str] | None = None) -> SecretStanding:
        """One of these. Raises `UnknownName`."""
        found = await self._named([name], projects)
        if not found:
            raise no_secret(name)
        return found[0]

    async def _named(self, names: Sequence[str] | None, projects: Collection[str] | None) -> tuple[SecretStanding, ...]:
        newest: dict[str, SecretStanding] = {}
        for each in await asyncio.to_thread(self._store.sealed, names):
            newest.setdefault(each.secret.name, SecretStanding(newest=each.secret, key_id=each.key_id))
        found = newest.values()
        return tuple(
            each
            for each in found
            if projects is None or not each.newest.projects or not set(projects).isdisjoint(each.newest.projects)
        )

    async def remove(self, name: str) -> None:
        """Removes one with all its versions. Raises `UnknownName`."""
        await asyncio.to_thread(self._store.drop_secret, name)

    async def rotate_key(self) -> int:
        """Seals every version with a new key, and drops those that nothing needs any more; how many versions.

        Raises `InvalidInput` where one does not open. Ended halfway, all keys are still there.
        """
        async with self._turn:
            return await asyncio.to_thread(self._rotate_key)

    def _rotate_key(self) -> int:
        secrets = self._own()
        values = [(each.secret, secrets.opened(each)) for each in self._store.sealed()]
        secrets.keys.rotate()
        self._store.reseal([secrets.seal(made, value) for made, value in values])
        secrets.keys.keep_only({each.key_id for each in self._store.sealed()})
        return len(values)

    def _own(self) -> Secrets:
        if not isinstance(self._secrets, Secrets):
            raise Conflict("this broker's secrets are kept elsewhere: set them there")
        return self._secrets


def _unfit(value: str) -> str:
    """Why a value can't be a variable's; empty where it can. The value is not in it."""
    if not value:
        return "is empty"
    if "\0" in value:
        return "has a zero byte, which no environment variable can have: encode it, as in base64"
    if len(value.encode("utf-8", "replace")) > LONGEST:
        return f"is longer than {LONGEST:,} bytes"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "is not UTF-8: encode it, as in base64"
    return ""
