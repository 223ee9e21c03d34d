"""Names of secrets → their values, from the broker's environment or from a file that only its owner can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from broker.model.errors import InvalidInput, Problem, UnknownName
from broker.spec.source import read_text

NO_VALUE: Final = "secret {name} has no value: `broker secret set {name}`, or have it set where the broker runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredSecrets:
    """A `broker.ports.SecretSource`. Values are read when they are asked for, and kept nowhere."""

    prefix: str
    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def values(self, names: Iterable[str]) -> Mapping[str, str]:
        """The values by name. Raises `UnknownName` for one that has none, `InvalidInput` for a file that is open."""
        wanted = tuple(names)
        if not wanted:
            return {}
        there = self._in_file()
        there |= {name: value for name in wanted if (value := self.environment.get(self.prefix + name)) is not None}
        for name in wanted:
            if name not in there:
                raise UnknownName(Problem(message=NO_VALUE.format(name=name), field="secrets"))
        return {name: there[name] for name in wanted}

    def known(self, names: Iterable[str]) -> frozenset[str]:
        """The values of the secrets among these names that have one."""
        there = self._in_file()
        return frozenset(
            value for name in names if (value := self.environment.get(self.prefix + name, there.get(name))) is not None
        )

    def _in_file(self) -> dict[str, str]:
        if self.file is None or not self.file.exists():
            return {}
        status = self.file.stat()
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.getuid():
            raise _of_the_file("is not its owner's alone: chown and chmod 600 it")
        values: dict[str, str] = {}
        for number, line in enumerate(read_text(self.file).splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals:
                raise _of_the_file(f"has a line that is not NAME=value, {number}")
            values[name.strip()] = value.strip()
        return values


def _of_the_file(what: str) -> InvalidInput:
    """Whoever submits a job reads this: it does not say where the file is."""
    return InvalidInput(Problem(message=f"the broker's file of secrets (`secrets.file`) {what}", field="secrets"))
