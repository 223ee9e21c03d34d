"""Secrets: values that jobs find in their environment, by name. Here is all but the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]*"  # what the name of an environment variable looks like


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One version of a secret, without its value."""

    name: str  # of the environment variable
    version: int  # 1 for the first; the newest counts
    user: str  # who set it
    created_ns: int
    projects: tuple[str, ...] = ()  # whose jobs may name it; empty: everybody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A version with its value, encrypted for this name and version."""

    secret: Secret
    key_id: str  # which key opens it
    box: bytes = field(repr=False)  # nonce and ciphertext
