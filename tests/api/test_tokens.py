"""Tokens that are wrong, expired, revoked or not good enough, on every route; and who acts with one that is."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import Route

from broker.api.app import create_app
from broker.api.guard import DASHBOARD, OPEN_PATHS, needed_for
from broker.model.tokens import Scope
from broker.run.service.tokens import Tokens
from tests.api.conftest import PATIENT, House

OWNERS = "the-owners-token"


class LateClock:
    def __init__(self, clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def now_ns(self) -> int:
        return self.clock.now_ns() + round(self.seconds * 1e9)


def client(house: House, token: str = OWNERS, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(house.service, OWNERS, PATIENT))
    sent = {"Authorization": f"Bearer {token}".encode(), **headers}
    return httpx.AsyncClient(transport=transport, base_url="http://b", headers=sent)


async def made(house: House, scope: Scope, user: str = "mia") -> str:
    _, text = await house.service.tokens.create(user, scope, 3600.0)
    return text


def flat(router) -> Iterator[Route]:
    """All routes of an application, those of its routers included."""
    for route in router.routes:
        if isinstance(route, Route):
            yield route
        else:
            yield from flat(route.original_router)


def routes(house: House) -> list[tuple[str, str]]:
    """Of the application itself, so that no new route is forgotten, described or not."""
    found = [(method, route.path) for route in flat(create_app(house.service)) for method in sorted(route.methods)]
    needing = [(method, path) for method, path in found if path not in OPEN_PATHS and not path.startswith(DASHBOARD)]
    assert {"/v1/openapi.json", "/v1/jobs:batch", "/v1/jobs/{id}/logs", "/metrics"} <= {path for _, path in needing}
    return needing


async def refused(house: House, token: str) -> set[int]:
    async with client(house, token) as asked:
        return {(await asked.request(method, path)).status_code for method, path in routes(house)}


async def test_wrong_expired_and_revoked_tokens_open_nothing(house: House) -> None:
    good = await made(house, Scope.ADMIN)
    revoked = await made(house, Scope.ADMIN)
    await house.service.tokens.revoke(revoked.split("_")[1])
    for token in (
        good[:-1],
        good[:-1] + "é",
        good.replace("broker_", "broker"),
        revoked,
        "broker_" + "0" * 12 + "_" + "a" * 43,
    ):
        assert await refused(house, token) == {401}
    house.service.tokens._clock = LateClock(house.clock, 3601.0)
    assert await refused(house, good) == {401}


@pytest.mark.parametrize("scope", Scope)
async def test_a_token_opens_what_its_scope_is_good_for_and_nothing_else(house: House, scope: Scope) -> None:
    async with client(house, await made(house, scope)) as asked:
        for method, path in routes(house):
            answer = await asked.request(method, path, params={"kind": "<"})
            assert (answer.status_code == 403) == (not scope.allows(needed_for(method, path))), f"{method} {path}"
            if answer.status_code == 403:
                assert f"`{scope}`" in answer.json()["detail"] and "broker token create" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/jobs", "read"),
        ("POST", "/v1/jobs", "submit"),
        ("GET", "/v1/tokens", "admin"),
        ("GET", "/v1/tokens/x", "admin"),
        ("DELETE", "/v1/tokens/x", "admin"),
        ("POST", "/v1/shutdown", "admin"),
        ("GET", "/metrics", "read"),
    ],
)
def test_what_a_route_needs(method: str, path: str, needed: str) -> None:
    assert needed_for(method, path) == needed


async def test_whoever_has_a_token_acts_as_its_user_and_for_nobody_else(house: House) -> None:
    token = await made(house, Scope.SUBMIT)
    async with client(house, token) as mia, client(house, **{"Broker-User": "ann"}) as owner:
        mine = (await mia.post("/v1/jobs", json={"run": "true"})).json()["id"]
        hers = (await owner.post("/v1/jobs", json={"run": "true", "array": 2})).json()["id"]
        assert (await mia.get(f"/v1/jobs/{mine}")).json()["user"] == "mia"
        for job in (hers, f"{hers}.0"):
            assert (await mia.post(f"/v1/jobs/{job}/cancel")).status_code == 403
            assert (await mia.post(f"/v1/jobs/{job}/retry")).status_code == 403
        assert (await owner.get(f"/v1/jobs/{hers}.0")).json()["cancel_requested"] is False
        assert (await mia.post("/v1/jobs/nothing/cancel")).status_code == 404
        assert (await mia.post(f"/v1/jobs/{mine}/cancel")).status_code == 202
        assert (await owner.post(f"/v1/jobs/{hers}/cancel")).status_code == 202
    async with client(house, token, **{"Broker-User": "ann"}) as forger:
        answer = await forger.post("/v1/jobs", json={"run": "true"})
        assert (answer.status_code, "acts as mia" in answer.json()["detail"]) == (403, True)


async def test_a_token_is_shown_once_and_kept_as_a_hash(house: House) -> None:
    async with client(house) as owner:
        answer = await owner.post("/v1/tokens", json={"user": "mia", "scope": "read", "lives_s": 60})
        text = answer.json()["token"]
        listed = await owner.get("/v1/tokens")
        shown = await owner.get(f"/v1/tokens/{answer.json()['id']}")
        assert (await owner.get("/v1/tokens/none")).status_code == 404
    assert listed.json()["tokens"][0]["id"] == answer.json()["id"] and text not in listed.text
    assert listed.json()["tokens"] == [shown.json()]
    secret = text.rpartition("_")[2] if text.count("_") == 2 else text.split("_", 2)[2]
    assert secret.encode() not in b"".join(path.read_bytes() for path in house.state_dir.glob("broker.db*"))


async def test_who_comes_by_the_socket_says_who_it_is(house: House, http) -> None:
    answer = await http.post("/v1/jobs", json={"run": "true"}, headers={"Broker-User": "zoe"})
    assert (await http.get(f"/v1/jobs/{answer.json()['id']}")).json()["user"] == "zoe"


async def test_nobody_learns_anything_from_a_malformed_token(house: House) -> None:
    tokens = Tokens(house.store, house.clock)
    for text in ("", "broker__", "broker_" + "0" * 12 + "_", "x" * 10_000, "broker_' OR 1=1_aaaaaaaaaaaaaaaaaaaaaa"):
        assert await tokens.identify(text) is None
