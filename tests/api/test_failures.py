"""Who sends tokens that are wrong, or none, is told to come again later, by address; a good token is always let in."""

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from broker.api.app import create_app
from broker.api.failures import MOST_ADDRESSES, Failures, address_of
from broker.api.limits import DEFAULT
from broker.decide.throttle import Rate
from broker.model.tokens import Scope
from broker.run.settings import UserLimits
from tests.api.conftest import House

OWNERS = "the-owners-token"
FEW = UserLimits(rate=DEFAULT.rate, streams=DEFAULT.streams, failures=Rate(per_s=0.01, burst=3))


def client(asgi, token: str | None, address: str = "10.0.0.1", **headers: str) -> httpx.AsyncClient:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    transport = httpx.ASGITransport(asgi, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://b", headers=headers)


async def statuses(asked: httpx.AsyncClient, number: int) -> list[int]:
    return [(await asked.get("/v1/pools")).status_code for _ in range(number)]


@pytest.mark.parametrize("token", [None, "", "wrong", "broker_000000000000_aaaaaaaaaaaaaaaaaaaaaaaa"])
async def test_an_address_that_fails_too_often_is_told_when_to_try_again(house: House, token: str | None) -> None:
    async with client(create_app(house.service, OWNERS, FEW), token) as asked:
        assert await statuses(asked, 3) == [401, 401, 401]
        over = await asked.get("/v1/pools")
        assert (over.status_code, over.json()["type"]) == (429, "urn:gpu-broker:too-many-failures")
        assert over.headers["content-type"] == "application/problem+json"
        assert 90 < int(over.headers["Retry-After"]) <= 100
        assert (await asked.get("/healthz")).status_code == 200


async def test_a_good_token_of_the_same_address_is_let_in_and_other_addresses_are_as_before(house: House) -> None:
    asgi = create_app(house.service, OWNERS, FEW)
    _, mine = await house.service.tokens.create("mia", Scope.READ, None)
    async with client(asgi, "wrong") as bad, client(asgi, OWNERS) as owner, client(asgi, mine) as user:
        assert await statuses(bad, 5) == [401, 401, 401, 429, 429]
        assert await statuses(owner, 5) == [200] * 5
        assert await statuses(user, 5) == [200] * 5
        assert await statuses(bad, 1) == [429], "a good token forgives nothing"
    async with client(asgi, "wrong", "10.0.0.2") as other:
        assert await statuses(other, 4) == [401, 401, 401, 429]


async def test_a_token_that_was_revoked_fails_like_any(house: House) -> None:
    token, text = await house.service.tokens.create("mia", Scope.READ, None)
    async with client(create_app(house.service, OWNERS, FEW), text) as asked:
        assert await statuses(asked, 5) == [200] * 5
        await house.service.tokens.revoke(token.id)
        assert await statuses(asked, 4) == [401, 401, 401, 429]


async def test_behind_a_proxy_it_is_the_address_that_the_proxy_names(house: House) -> None:
    asgi = ProxyHeadersMiddleware(create_app(house.service, OWNERS, FEW), trusted_hosts="127.0.0.1")
    proxy = "127.0.0.1"
    async with client(asgi, "wrong", proxy) as one, client(asgi, "wrong", proxy) as other:
        one.headers["X-Forwarded-For"], other.headers["X-Forwarded-For"] = "203.0.113.7", "203.0.113.8"
        assert await statuses(one, 4) == [401, 401, 401, 429]
        assert await statuses(other, 3) == [401, 401, 401]
    async with client(asgi, "wrong", "198.51.100.1") as direct:  # whom nobody believes
        assert await statuses(direct, 3) == [401, 401, 401]
        direct.headers["X-Forwarded-For"] = "203.0.113.9"
        assert await statuses(direct, 1) == [429]


def scope(address: str) -> dict[str, object]:
    return {"type": "http", "client": (address, 1)}


def test_an_ipv6_customer_is_one_address_and_an_ipv4_one_in_ipv6_is_itself() -> None:
    assert address_of(scope("2001:db8:1:2::1")) == address_of(scope("2001:db8:1:2:ffff::9"))
    assert address_of(scope("2001:db8:1:2::1")) != address_of(scope("2001:db8:1:3::1"))
    assert address_of(scope("::ffff:10.0.0.1")) == address_of(scope("10.0.0.1")) == "10.0.0.1"
    assert address_of({"type": "http", "client": None}) == ""
    assert address_of(scope("fe80::1%eth0")) == address_of(scope("fe80::2%eth0"))


def test_so_many_addresses_are_remembered_and_no_more() -> None:
    failures = Failures(Rate(per_s=0.001, burst=1))
    for number in range(MOST_ADDRESSES + 1):
        assert failures.count(scope(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")) is None
    assert failures.count(scope("10.0.0.1")) is not None
    assert failures.count(scope("10.0.0.0")) is None, "the first was forgotten"
