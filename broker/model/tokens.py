"""Tokens: who may ask the broker what, until when. Their secrets are known to their holders only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token is good for; each includes those before it."""

    READ = "read"  # see everything
    SUBMIT = "submit"  # submit jobs, and end or retry one's own
    ADMIN = "admin"  # everybody's jobs, tokens, and the broker itself

    def allows(self, needed: Scope) -> bool:
        """Whether it is enough for what needs another."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without its secret."""

    id: str
    user: str  # who acts with it
    scope: Scope
    created_ns: int
    expires_ns: int | None  # None: never
    revoked_ns: int | None = None

    def good(self, now_ns: int) -> bool:
        """Whether it may be used now."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks. `user` is None where the caller may say who it is: on the socket, and with the daemon's own token."""

    user: str | None
    scope: Scope
    token_id: str = ""  # empty: the socket, or the daemon's own token


OWNER = Identity(user=None, scope=Scope.ADMIN)
