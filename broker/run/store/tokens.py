"""Tokens ↔ rows. Of a secret only its hash is kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, update

from broker.model.acting import about
from broker.model.errors import UnknownName
from broker.model.tokens import Scope, Token
from broker.run.store.tenancy_tables import tokens


def keep(connection: Connection, token: Token, secret_hash: str) -> None:
    """Stores a new token."""
    values = {
        "id": token.id,
        "user_name": token.user,
        "scope": token.scope.value,
        "secret_hash": secret_hash,
        "created_ns": token.created_ns,
        "expires_ns": token.expires_ns,
        "revoked_ns": token.revoked_ns,
    }
    connection.execute(insert(tokens).values(values))
    about(f"{token.id} for {token.user}")


def find(connection: Connection, token_id: str) -> tuple[Token, str] | None:
    """A token and the hash of its secret."""
    row = connection.execute(select(tokens).where(tokens.c.id == token_id)).first()
    return (_token(row), str(row.secret_hash)) if row else None


def every(connection: Connection) -> tuple[Token, ...]:
    """All that were ever made, newest first."""
    rows = connection.execute(select(tokens).order_by(tokens.c.created_ns.desc(), tokens.c.id))
    return tuple(_token(row) for row in rows)


def revoke(connection: Connection, token_id: str, at_ns: int) -> Token:
    """Ends a token; one that has ended stays as it is. Raises UnknownName."""
    mine = tokens.c.id == token_id
    connection.execute(update(tokens).where(mine, tokens.c.revoked_ns.is_(None)).values(revoked_ns=at_ns))
    if (found := find(connection, token_id)) is None:
        raise no_token(token_id)
    return found[0]


def no_token(token_id: str) -> UnknownName:
    """The error for a token that was never made."""
    return UnknownName(f"there is no token {token_id!r}: `broker token list` shows them")


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        user=row.user_name,
        scope=Scope(row.scope),
        created_ns=row.created_ns,
        expires_ns=row.expires_ns,
        revoked_ns=row.revoked_ns,
    )
