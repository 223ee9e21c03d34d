"""Secrets: names → values, from the store, else from the broker's environment or its file; sealed while they lie there.

A value is sealed by AES-256-GCM for its name and version: a row that is moved to another name does not open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final

from broker.model.errors import InvalidInput, Problem, UnknownName
from broker.model.secrets import Sealed, Secret
from broker.ports import SecretSource, Store
from broker.run.secrecy.keys import Key, Keys

_NONCE: Final = 12


class Secrets:
    """A `broker.ports.SecretSource` over the store's secrets and the configuration's."""

    def __init__(self, store: Store, keys: Keys, configured: SecretSource) -> None:
        self._store, self.keys, self._configured = store, keys, configured

    def values(self, names: Iterable[str]) -> Mapping[str, str]:
        """The newest values. Raises `UnknownName` for a name without one, `InvalidInput` where a key is missing."""
        wanted = tuple(names)
        if not wanted:
            return {}
        newest: dict[str, Sealed] = {}
        for sealed in self._store.sealed(wanted):
            newest.setdefault(sealed.secret.name, sealed)
        found = {name: self.opened(sealed) for name, sealed in newest.items()}
        return {**self._configured.values(name for name in wanted if name not in found), **found}

    def known(self, names: Iterable[str]) -> frozenset[str]:
        """Every value that these have or had. What no key opens any more is left out: jobs did not get it from here."""
        wanted = tuple(names)
        found = set(self._configured.known(wanted))
        for sealed in self._store.sealed(wanted) if wanted else ():
            if (key := self.keys.named(sealed.key_id)) is not None:
                found.add(_opened(sealed, key))
        return frozenset(found)

    def seal(self, secret: Secret, value: str) -> Sealed:
        """A value as the store may see it."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key, nonce = self.keys.first(), os.urandom(_NONCE)
        box = nonce + AESGCM(key.material).encrypt(nonce, value.encode(), _bound(secret))
        return Sealed(secret=secret, key_id=key.id, box=box)

    def opened(self, sealed: Sealed) -> str:
        """The value. Raises `InvalidInput` where its key is missing or it was tampered with."""
        key = self.keys.named(sealed.key_id)
        if key is None:
            message = (
                f"secret {sealed.secret.name} was sealed with the key {sealed.key_id}, which is not in "
                f"{self.keys.where}: put it back, or set the secret again"
            )
            raise InvalidInput(Problem(message=message, field="secrets"))
        return _opened(sealed, key)


def check_project(sealed: Iterable[Sealed], project: str) -> None:
    """Raises `UnknownName` where jobs of a project may not name the newest of these versions of secrets."""
    newest: dict[str, Secret] = {}
    for each in sealed:
        newest.setdefault(each.secret.name, each.secret)
    for name, secret in newest.items():
        if secret.projects and project not in secret.projects:
            message = f"the project {project} has no secret {name}: `broker secret set {name} --project {project}`"
            raise UnknownName(Problem(message=message, field="secrets"))


def _opened(sealed: Sealed, key: Key) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, ciphertext = sealed.box[:_NONCE], sealed.box[_NONCE:]
    try:
        return AESGCM(key.material).decrypt(nonce, ciphertext, _bound(sealed.secret)).decode()
    except InvalidTag:
        message = f"secret {sealed.secret.name} is not what was stored: the database was changed; set the secret again"
        raise InvalidInput(Problem(message=message, field="secrets")) from None


def _bound(secret: Secret) -> bytes:
    return f"{secret.name}\0{secret.version}".encode()
