"""What browsers send for other sites is refused, and nothing that is answered is run by one."""

import httpx
import pytest

from broker.api.app import create_app
from broker.api.guard import trusting
from tests.api.conftest import House

OWNERS = "the-owners-token"
ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
]
OURS = [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:8000"}]
OURS += [{"Sec-Fetch-Site": "same-origin", "Origin": "https://broker.example.org"}]  # behind a proxy
HTML = "<img src=x onerror=alert(1)>"


def client(asgi, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://127.0.0.1:8000", headers=headers)


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
async def test_a_browser_with_another_site_open_gets_nothing_even_with_the_token(house: House, headers) -> None:
    for asgi in (create_app(house.service, OWNERS), trusting(create_app(house.service, OWNERS))):
        async with client(asgi, Authorization=f"Bearer {OWNERS}", **headers) as asked:
            for method, path in (
                ("GET", "/v1/jobs"),
                ("POST", "/v1/jobs"),
                ("POST", "/v1/shutdown"),
                ("GET", "/healthz"),
            ):
                answer = await asked.request(method, path, json={"run": "true"})
                assert (answer.status_code, answer.json()["type"]) == (403, "urn:gpu-broker:cross-site"), path
    assert not house.broker.ended


@pytest.mark.parametrize("headers", OURS, ids=str)
async def test_our_own_page_and_programs_are_answered(house: House, headers) -> None:
    async with client(create_app(house.service, OWNERS), Authorization=f"Bearer {OWNERS}", **headers) as asked:
        assert (await asked.post("/v1/jobs", json={"run": "true"})).status_code == 201


async def test_a_link_to_the_page_may_be_followed_but_not_put_in_a_frame(house: House) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with client(create_app(house.service, OWNERS), **followed) as asked:
        assert (await asked.get("/")).status_code == 200
        assert (await asked.get("/", headers={"Sec-Fetch-Dest": "iframe"})).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.5", "127.0.0.1.evil.example", "a.b."])
async def test_without_a_token_no_name_that_somebody_may_point_here_is_answered(house: House, host: str) -> None:
    """DNS rebinding: the browser thinks that this is evil.example, and says so."""
    same = {"Host": host, "Sec-Fetch-Site": "same-origin"}
    for asgi in (create_app(house.service), trusting(create_app(house.service, OWNERS))):
        async with client(asgi, **same) as asked:
            assert (await asked.get("/v1/jobs")).status_code == 403
    async with client(create_app(house.service, OWNERS), **same) as asked:
        assert (await asked.get("/v1/jobs")).status_code == 401
        assert (await asked.get("/v1/jobs", headers={"Authorization": f"Bearer {OWNERS}"})).status_code == 200


@pytest.mark.parametrize("host", ["broker", "localhost", "localhost:80", "127.0.0.1:8000", "[::1]:80", ""])
async def test_names_of_this_machine_are_answered(house: House, host: str) -> None:
    async with client(create_app(house.service), Host=host) as asked:
        assert (await asked.get("/v1/jobs")).status_code == 200


async def test_html_in_what_people_write_is_never_a_page(house: House, http) -> None:
    job = (await http.post("/v1/jobs", json={"run": HTML, "tags": {"t": HTML}})).json()["id"]
    executor, attempt = await house.start(job)
    executor.runs[attempt].stdout = HTML.encode()
    for path in (
        f"/v1/jobs/{job}",
        "/v1/jobs",
        f"/v1/jobs/{job}/logs",
        "/v1/spend?by=tag:t&format=csv",
        f"/v1/jobs/{HTML}",
    ):
        answer = await http.get(path)
        assert not answer.headers["content-type"].startswith(("text/html", "image/svg", "text/xml")), path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert (await http.get(f"/v1/jobs/{job}/logs")).content == HTML.encode()


async def test_the_page_runs_its_own_scripts_and_no_others(http) -> None:
    policy = (await http.get("/")).headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
