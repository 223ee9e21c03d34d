import asyncio
import errno
import sys
from io import StringIO

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from broker.api.app import create_app
from broker.api.guard import MAX_BLOB_BYTES, MAX_BODY_BYTES, PROBES, trusting
from broker.api.server import log_as_json
from broker.model import errors
from tests.api.conftest import PATIENT, House

TOKEN = "s3cret-token"


@pytest.fixture
async def guarded(house: House):
    transport = httpx.ASGITransport(create_app(house.service, TOKEN, PATIENT))
    async with httpx.AsyncClient(transport=transport, base_url="http://broker") as client:
        yield client


def paths(house: House) -> list[tuple[str, str]]:
    found = create_app(house.service).openapi()["paths"]
    return [(method.upper(), path) for path, methods in found.items() for method in methods]


@pytest.mark.parametrize("given", [None, "", TOKEN, f"Bearer {TOKEN}x", "Bearer ", f"Bearer{TOKEN}", f"Basic {TOKEN}"])
async def test_no_route_but_health_answers_without_the_token(house: House, guarded, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    for method, path in [*paths(house), ("GET", "/v1/openapi.json"), ("GET", "/nothing")]:
        response = await guarded.request(method, path, headers=headers)
        if path in PROBES:
            assert response.status_code == 200
        else:
            assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer"), path
            assert TOKEN not in response.text


async def test_the_token_opens_every_route(house: House, guarded) -> None:
    for method, path in paths(house):
        # Of events there is no end: such a kind there can't be.
        params, headers = {"kind": "<"}, {"Authorization": f"Bearer {TOKEN}"}
        response = await guarded.request(method, path, params=params, headers=headers)
        assert response.status_code != 401, path


async def chunks(total: int):
    for _ in range(0, total, 1 << 16):
        yield b" " * (1 << 16)


async def one_piece(total: int):
    yield b" " * total


@pytest.mark.parametrize("body", [lambda size: b" " * size, chunks, one_piece])
async def test_a_body_over_the_limit_is_refused(http, body) -> None:
    response = await http.post("/v1/jobs", content=body(MAX_BODY_BYTES + (1 << 16)))
    assert (response.status_code, response.json()["type"]) == (413, "urn:gpu-broker:too-large")
    assert "1 MiB" in response.json()["detail"]


async def test_payloads_may_be_larger_but_not_endless(http) -> None:
    response = await http.put(f"/v1/blobs/{'0' * 64}", content=chunks(MAX_BODY_BYTES * 2))
    assert response.status_code == 422
    response = await http.put(f"/v1/blobs/{'0' * 64}", headers={"Content-Length": str(MAX_BLOB_BYTES + 1)}, content=b"")
    assert response.status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/jobs", 404), ("DELETE", "/v1/jobs", 405)])
async def test_a_path_or_method_that_there_is_not_is_a_problem_too(http, method: str, path: str, status: int) -> None:
    response = await http.request(method, path)
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert response.headers["content-type"] == "application/problem+json"


STATUS = {
    errors.StoreError("the store: the disk is full: free space there"): 507,
    errors.StoreFull("too much is here"): 507,
    errors.StoreError("the store is locked"): 503,
    errors.NoCapacity("no room"): 503,
    errors.Unreachable("no answer"): 503,
    errors.Misconfigured("no credentials"): 503,
    errors.Rejected("never"): 422,
    errors.ExecutorError("odd"): 502,
    errors.PriceMissing("no price"): 409,
    errors.DaemonError("ending"): 503,
    errors.BrokerError("other"): 500,
}


@pytest.mark.parametrize("error", STATUS, ids=str)
async def test_each_error_has_its_status(house: House, http, monkeypatch, error: errors.BrokerError) -> None:
    async def fails() -> None:
        raise error

    monkeypatch.setattr(house.service.operations, "status", fails)
    response = await http.get("/v1/status")
    assert (response.status_code, response.json()["detail"]) == (STATUS[error], str(error))


async def test_a_mistake_of_ours_says_nothing_of_its_insides(house: House, monkeypatch) -> None:
    async def fails() -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(house.service.operations, "status", fails)
    transport = httpx.ASGITransport(create_app(house.service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://broker") as client:
        with structlog.testing.capture_logs() as logged:
            response = await client.get("/v1/status")
    assert (response.status_code, "hunter2" in response.text) == (500, False)
    assert [str(line["exc_info"]) for line in logged] == ["password=hunter2"]
    assert response.headers["content-type"] == "application/problem+json"


async def test_many_can_wait_for_one_job(house: House, http, submitted) -> None:
    waiting = [asyncio.create_task(http.get(f"/v1/jobs/{submitted}/wait")) for _ in range(50)]
    await house.end(submitted)
    assert {(await each).json()["state"] for each in waiting} == {"succeeded"}


@pytest.mark.parametrize("error", [errors.StoreAway("the store: the disk is full"), errors.StoreAway("it is locked")])
async def test_who_is_refused_as_the_store_is_away_is_told_when_to_ask_again(
    house: House, http, monkeypatch, error: errors.BrokerError
) -> None:
    async def fails() -> None:
        raise error

    monkeypatch.setattr(house.service.operations, "status", fails)
    response = await http.get("/v1/status")
    assert (response.status_code, response.headers["Retry-After"]) == (507 if "disk" in str(error) else 503, "5")


class Full(StringIO):
    """A log on a disk that is full."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_can_t_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = structlog.get_config()
    monkeypatch.setattr(sys, "stderr", Full())
    log_as_json()
    try:
        structlog.get_logger().error("no room for this")
    finally:
        structlog.configure(**before)


async def test_who_hangs_up_in_the_middle_of_a_request_is_no_failure_of_ours(house: House) -> None:
    said = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: dict[str, object]) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/jobs",
        "raw_path": b"/v1/jobs",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"99")],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 5_000),
    }
    with capture_logs() as logs:
        await trusting(create_app(house.service))(scope, receive, send)
    assert not [line for line in logs if line["log_level"] == "error"]
    assert said[0]["status"] == 499
