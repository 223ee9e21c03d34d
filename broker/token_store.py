"""The port to a store of tokens, which is a part of the store."""

from __future__ import annotations

from typing import Protocol

from broker.model.tokens import Token


class TokenStore(Protocol):
    """Keeps tokens with the hashes of their secrets. Every method is one transaction, as all of `Store`."""

    def keep_token(self, token: Token, secret_hash: str) -> None:
        """Stores a new token with the hash of its secret."""
        ...

    def token(self, token_id: str) -> tuple[Token, str] | None:
        """A token and the hash of its secret; None where there is none."""
        ...

    def tokens(self) -> tuple[Token, ...]:
        """All tokens that were ever made, newest first."""
        ...

    def revoke_token(self, token_id: str, at_ns: int) -> Token:
        """Ends a token; one that has ended stays as it is. Raises `UnknownName`."""
        ...
