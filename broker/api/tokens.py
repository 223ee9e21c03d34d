"""Tokens as the API shows them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import time, time_or_none
from broker.model.tokens import Scope, Token


class TokenWish(BaseModel):
    """What a new token is to be."""

    model_config = ConfigDict(extra="forbid")
    user: str = Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=64, description="Who acts with it.")
    scope: Scope = Field(Scope.SUBMIT, description="read: see; submit: run jobs, end one's own; admin: everything.")
    lives_s: float | None = Field(
        None, gt=0, le=1e9, description="Seconds until it expires; null: never.", allow_inf_nan=False
    )


class TokenView(BaseModel):
    """A token without its text."""

    id: str
    user: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")
    revoked_at: datetime | None = Field(description="Null: it was not revoked.")


class TokenMade(TokenView):
    """A new token."""

    token: str = Field(description="Its text, which is shown this once and kept nowhere.")


class TokenList(BaseModel):
    """All tokens."""

    tokens: list[TokenView]


def token(found: Token) -> TokenView:
    """A token."""
    return TokenView(
        id=found.id,
        user=found.user,
        scope=found.scope,
        created_at=time(found.created_ns),
        expires_at=time_or_none(found.expires_ns),
        revoked_at=time_or_none(found.revoked_ns),
    )
