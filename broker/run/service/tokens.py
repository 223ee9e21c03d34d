"""Tokens: made, listed, revoked; and what is sent with a request → who asks.

A token reads `broker_ID_SECRET`. The secret is 256 random bits, so that its plain SHA-256 tells nobody anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from typing import Final

from broker.model.money import NS_PER_S
from broker.model.tokens import Identity, Scope, Token
from broker.ports import Clock, Store
from broker.run.store.tokens import no_token

_FORM: Final = re.compile(r"broker_([0-9a-f]{12})_([\w-]{20,100})")


class Tokens:
    """The tokens of a broker."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, user: str, scope: Scope, lives_s: float | None) -> tuple[Token, str]:
        """A new token, and its text, which nobody can be told again."""
        now_ns, secret = self._clock.now_ns(), secrets.token_urlsafe(32)
        token = Token(
            id=secrets.token_hex(6),
            user=user,
            scope=scope,
            created_ns=now_ns,
            expires_ns=None if lives_s is None else now_ns + round(lives_s * NS_PER_S),
        )
        await asyncio.to_thread(self._store.keep_token, token, _hash(secret))
        return token, f"broker_{token.id}_{secret}"

    async def every(self) -> tuple[Token, ...]:
        """All that were ever made, newest first."""
        return await asyncio.to_thread(self._store.tokens)

    async def one(self, token_id: str) -> Token:
        """One of them. Raises `UnknownName`."""
        if (known := await asyncio.to_thread(self._store.token, token_id)) is None:
            raise no_token(token_id)
        return known[0]

    async def revoke(self, token_id: str) -> Token:
        """Ends a token at once. Raises `UnknownName`."""
        return await asyncio.to_thread(self._store.revoke_token, token_id, self._clock.now_ns())

    async def still_good(self, who: Identity) -> bool:
        """Whether somebody who was let in would be let in now."""
        if not who.token_id:
            return True
        known = await asyncio.to_thread(self._store.token, who.token_id)
        return known is not None and known[0].good(self._clock.now_ns())

    async def identify(self, text: str) -> Identity | None:
        """Who a token stands for; None where it is none, or is good no more."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        known = await asyncio.to_thread(self._store.token, found[1])
        if known is None or not hmac.compare_digest(known[1], _hash(found[2])):
            return None
        token, _ = known
        return (
            Identity(user=token.user, scope=token.scope, token_id=token.id)
            if token.good(self._clock.now_ns())
            else None
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
