"""How often one user may ask, and how many answers may go on; the owner's socket is free."""

import asyncio

import httpx
import pytest

from broker.api.app import create_app
from broker.api.guard import trusting
from broker.decide.throttle import Rate
from broker.model.tokens import Scope
from broker.run.settings import UserLimits
from tests.api.conftest import WAIT_S, House

OWNERS = "the-owners-token"
FEW = UserLimits(rate=Rate(per_s=0.01, burst=3), streams=2)


def app(house: House, limits: UserLimits = FEW):
    return create_app(house.service, OWNERS, limits)


def client(asgi, token: str = OWNERS) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(asgi), base_url="http://b", headers={"Authorization": f"Bearer {token}"}
    )


async def test_what_is_over_the_rate_is_told_when_to_come_again(house: House) -> None:
    async with client(app(house)) as asked:
        answers = [await asked.get("/v1/pools") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["RateLimit"] == '"user";r=2;t=100'
        assert answers[0].headers["RateLimit-Policy"] == '"user";q=3;w=300'
        over = answers[3]
        assert over.json()["type"] == "urn:gpu-broker:too-many-requests"
        assert 90 < int(over.headers["Retry-After"]) <= 100
        assert over.headers["content-type"] == "application/problem+json"
        assert (await asked.get("/healthz")).status_code == 200


async def test_each_user_has_a_rate_of_their_own_whatever_tokens_they_have(house: House) -> None:
    tokens = [(await house.service.tokens.create(user, Scope.READ, None))[1] for user in ("mia", "mia", "ann")]
    asgi = app(house)
    async with client(asgi, tokens[0]) as one, client(asgi, tokens[1]) as same, client(asgi, tokens[2]) as other:
        for asked in (one, same, one):
            assert (await asked.get("/v1/pools")).status_code == 200
        assert (await same.get("/v1/pools")).status_code == 429
        assert (await other.get("/v1/pools")).status_code == 200


async def test_who_comes_by_the_owners_socket_is_not_limited(house: House) -> None:
    async with client(trusting(app(house)), "") as asked:
        assert {(await asked.get("/v1/pools")).status_code for _ in range(10)} == {200}


async def test_so_many_answers_go_on_at_once_and_one_that_ends_makes_room(house: House, submitted: str) -> None:
    limits = UserLimits(rate=Rate(per_s=100, burst=100), streams=2)
    async with client(app(house, limits)) as asked:
        waiting = [asyncio.create_task(asked.get(f"/v1/jobs/{submitted}/wait")) for _ in range(2)]
        await house.attempt_of(submitted)
        over = await asked.get(f"/v1/jobs/{submitted}/wait?timeout_s=0")
        assert (over.status_code, over.json()["type"]) == (429, "urn:gpu-broker:too-many-streams")
        assert (await asked.get(f"/v1/jobs/{submitted}")).status_code == 200
        await house.end(submitted)
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*waiting)
        assert (await asked.get(f"/v1/jobs/{submitted}/wait")).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_who_has_no_token_uses_up_nobodys_rate(house: House, token: str) -> None:
    asgi = app(house)
    async with client(asgi, token) as nobody, client(asgi) as owner:
        assert {(await nobody.get("/v1/pools")).status_code for _ in range(10)} == {401}
        assert (await owner.get("/v1/pools")).headers["RateLimit"].startswith('"user";r=2')
