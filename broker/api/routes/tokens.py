"""/v1/tokens: made, listed, revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from broker.api import tokens as views
from broker.api.requests import problems
from broker.run.service import Service

TokenId = Annotated[str, Path(description="Id of a token.")]


def routes(service: Service) -> APIRouter:
    """The routes of tokens."""
    router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

    @router.post("", status_code=201, responses=problems(503))
    async def create(wish: views.TokenWish) -> views.TokenMade:
        """Makes a token and shows its text, this once."""
        token, text = await service.tokens.create(wish.user, wish.scope, wish.lives_s)
        return views.TokenMade(**views.token(token).model_dump(), token=text)

    @router.get("", responses=problems(503))
    async def every() -> views.TokenList:
        """Lists all tokens that were ever made, newest first, without their texts."""
        return views.TokenList(tokens=[views.token(each) for each in await service.tokens.every()])

    @router.get("/{id}", responses=problems(404, 503))
    async def show(id: TokenId) -> views.TokenView:
        """Shows one token, without its text."""
        return views.token(await service.tokens.one(id))

    @router.delete("/{id}", responses=problems(404, 503))
    async def revoke(id: TokenId) -> views.TokenView:
        """Ends a token at once."""
        return views.token(await service.tokens.revoke(id))

    return router
