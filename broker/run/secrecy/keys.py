"""The keys that secrets are sealed with: from a file that only its owner can read, or from a command.

A key is 32 random bytes, in base64, one a line; the first seals, all of them open. A command is how they come from a
key management service or an environment variable (`printenv NAME`): brokers at one database need the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import shlex
import stat
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from broker.model.errors import Conflict, InvalidInput, Problem
from broker.spec.source import read_text

COMMAND_S: Final = 60.0
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it is called."""

    material: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Says which key it is, and nothing of it."""
        return hashlib.sha256(b"gpu-broker key " + self.material).hexdigest()[:8]


class Keys:
    """The keys of a broker; read when first needed, and again when one is missing."""

    def __init__(self, file: Path, command: str | None = None) -> None:
        """With a command, the file is not used."""
        self._file, self._command = file, command
        self._known: list[Key] = []

    def first(self) -> Key:
        """What to seal with; made where there is none yet. Raises `InvalidInput`."""
        if not self._known:
            self._known = self._read()
        if not self._known:
            self._write([Key(secrets.token_bytes(_BYTES))], new=True)
        return self._known[0]

    def named(self, key_id: str) -> Key | None:
        """The key that opens what is sealed with it; None where it is not here. Raises `InvalidInput`."""
        if not any(key.id == key_id for key in self._known):
            self._known = self._read()
        return next((key for key in self._known if key.id == key_id), None)

    def rotate(self) -> None:
        """Puts a new key before the others; a command's first is taken for new. Raises `InvalidInput`."""
        known = self._read()
        if self._command is None:
            self._write([Key(secrets.token_bytes(_BYTES)), *known], new=not known)
        else:
            self._known = known

    def keep_only(self, key_ids: Collection[str]) -> None:
        """Drops the keys of the file that nothing is sealed with any more, but the first."""
        if self._command is None:
            first, *others = self._known
            self._write([first, *(key for key in others if key.id in key_ids)], new=False)

    @property
    def where(self) -> str:
        """Where they come from, for whoever submits a job: without paths, and the command without its arguments."""
        if self._command:
            return f"secrets.key_command ({os.path.basename(shlex.split(self._command)[0])})"
        return f"{self._file.name} of the broker's folder"

    def _read(self) -> list[Key]:
        text = self._said() if self._command is not None else self._written()
        return [self._key(line) for line in text.split()]

    def _key(self, line: str) -> Key:
        try:
            material = base64.b64decode(line, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            material = b""
        if len(material) != _BYTES:
            raise InvalidInput(Problem(message="is no key: each line is 32 random bytes in base64", file=self.where))
        return Key(material)

    def _written(self) -> str:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return ""
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.getuid():
            message = "holds the keys of secrets, but is not its owner's alone: chown and chmod 600 it"
            raise InvalidInput(Problem(message=message, file=self.where))
        return read_text(self._file)

    def _said(self) -> str:
        """What the command writes. Neither that nor its errors are shown: a key could be in them."""
        try:
            said = subprocess.run(
                shlex.split(self._command or ""),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=COMMAND_S,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            message = f"gave no key ({type(error).__name__}): try it in a shell"
            raise InvalidInput(Problem(message=message, file=self.where)) from None
        if said.returncode or not said.stdout.strip():
            message = f"gave no key (exit code {said.returncode}): try it in a shell"
            raise InvalidInput(Problem(message=message, file=self.where))
        return said.stdout.decode("ascii", "replace")

    def _write(self, keys: list[Key], *, new: bool) -> None:
        """Replaces the file in one step. Raises `Conflict` where a new one was made by another process meanwhile."""
        draft = self._file.with_suffix(f".{os.getpid()}")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.writelines(base64.urlsafe_b64encode(key.material).decode() + "\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        try:
            if new:
                os.link(draft, self._file)
            else:
                draft.replace(self._file)
        except FileExistsError:
            raise Conflict(f"{self.where} was made by another process meanwhile: try again") from None
        finally:
            draft.unlink(missing_ok=True)
        self._known = keys
