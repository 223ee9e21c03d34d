"""Where a broker keeps what is not in the store: its own state folder, and a folder that other brokers see as well."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from broker.run.members.place import place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The state folder of one broker, and what it shares."""

    own: Path
    shared: Path | None = None  # None: no other broker sees anything of this one's
    pools: Collection[str] = ()  # whose records lie in the shared folder, so that another broker can go on with them

    @property
    def home(self) -> str:
        """Place of the state folder, which one broker has at a time."""
        return place_of(self.own)

    @property
    def archive(self) -> Path:
        """Where output of ended attempts is kept."""
        return (self.shared or self.own) / "archive"

    @property
    def blobs(self) -> Path:
        """Where large arguments of functions are kept."""
        return (self.shared or self.own) / "blobs"

    @property
    def volumes(self) -> Path:
        """Where volumes of this machine are."""
        return (self.shared or self.own) / "volumes"

    @property
    def keys(self) -> Path:
        """The file with the keys of stored secrets."""
        return (self.shared or self.own) / "secrets.key"

    def of(self, pool: str) -> Path:
        """Where a pool's executor keeps its records."""
        return self._root(pool) / "pools" / pool

    def place(self, pool: str) -> str:
        """Place of the folder that a pool's records are in."""
        return place_of(self._root(pool))

    def _root(self, pool: str) -> Path:
        return self.shared if self.shared is not None and pool in self.pools else self.own
