"""The ports to values of secrets, and to a store of them, which is a part of the store and sees no value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from broker.model.secrets import Sealed


class SecretSource(Protocol):
    """Knows the values of secrets."""

    def values(self, names: Iterable[str]) -> Mapping[str, str]:
        """The values by name. Raises `UnknownName` for the first name that has none."""
        ...

    def known(self, names: Iterable[str]) -> Collection[str]:
        """Every value that these have or had: what is not to be shown. A name without one is left out."""
        ...


class SecretStore(Protocol):
    """Keeps sealed values, each under its name and version. Every method is one transaction, as all of `Store`."""

    def add_sealed(self, sealed: Sealed) -> None:
        """Stores a new version; of a name's versions the newest ten stay. Raises `Conflict` for one that is there."""
        ...

    def sealed(self, names: Sequence[str] | None = None) -> tuple[Sealed, ...]:
        """All versions of these names, or of all, by name, newest first."""
        ...

    def reseal(self, sealed: Sequence[Sealed]) -> None:
        """Replaces the boxes of versions that are still there, all or none."""
        ...

    def drop_secret(self, name: str) -> None:
        """Removes a secret with all its versions. Raises `UnknownName`."""
        ...
