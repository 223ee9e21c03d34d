"""Files of the broker's machine: jobs that come with a token name those of some folders only, however they say it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.api.app import create_app
from broker.api.limits import DEFAULT
from broker.model.tokens import Scope
from broker.run.settings import UserLimits
from tests.api.conftest import House
from tests.api.test_tokens import OWNERS, made

NAMED: list[dict[str, Any]] = [
    {"workdir": "/etc"},
    {"workdir": "~"},
    {"working_dir": "/etc"},
    {"repos": ["/etc"]},
    {"runtime_env": {"working_dir": "/etc"}},
    {"file_mounts": {"key": "/etc/hostname"}},
    {"files": ["/etc/hostname:key"]},
    {"requirements": "/etc/requirements.txt"},
    {"requirements": ["numpy", "/etc"]},
    {"requirements": ["mine @ file:///etc"]},
    {"requirements": ["git+file:///srv/theirs"]},
    {"requirements": ["mine @ FILE:///etc"]},
    {"requirements": ["mine @ x/../../../etc"]},
    {"requirements": ["x/../../../etc"]},
    {"requirements": ["${HOME}/mine"]},
    {"requirements": ["mine @ https://example.org/${HOME}"]},
    {"requirements": "numpy\nmine @ ../../etc # of somebody else\n"},
    {"pip": ["/etc"]},
]


@pytest.fixture
async def ask(house: House, tmp_path: Path) -> AsyncIterator[Any]:
    """Asks as somebody with a token of some scope."""
    limits = UserLimits(rate=DEFAULT.rate, streams=DEFAULT.streams, files=(tmp_path / "shared",))
    transport = httpx.ASGITransport(create_app(house.service, OWNERS, limits))
    tokens = {scope: await made(house, scope) for scope in (Scope.SUBMIT, Scope.ADMIN)}
    (tmp_path / "shared" / "code").mkdir(parents=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://b") as client:

        async def asked(path: str, scope: Scope = Scope.SUBMIT, **sent: Any) -> httpx.Response:
            return await client.post(path, headers={"Authorization": f"Bearer {tokens[scope]}"}, **sent)

        yield asked


@pytest.mark.parametrize("named", NAMED, ids=str)
async def test_a_job_with_a_token_names_no_file_of_the_broker(ask, named: dict[str, Any]) -> None:
    job = {"run": "true", **named}
    called = {"function": {"blob": "0" * 64, "name": "f", "python": "3.12"}, **named}
    for path, sent in (
        ("/v1/jobs", {"json": job}),
        ("/v1/offers", {"json": job}),
        ("/v1/jobs:batch", {"json": {"jobs": [{"run": "true"}, job]}}),
        ("/v1/schedules", {"json": {"name": "s", "cron": "@daily", "job": job}}),
        ("/v1/calls", {"content": httpx.Request("POST", "http://b", json=called).content + b"\n"}),
    ):
        answer = await ask(path, **sent)
        assert (answer.status_code, "limits.files" in answer.text) == (422, True), (path, answer.text)
    assert "limits.files" not in (await ask("/v1/jobs", Scope.ADMIN, json=job)).text


async def test_a_schedule_is_not_changed_to_one_that_does(ask) -> None:
    assert (await ask("/v1/schedules", json={"name": "s", "cron": "@daily", "job": {"run": "true"}})).status_code == 201
    answer = await ask("/v1/schedules", json={"name": "t", "cron": "@daily", "job": {"run": "true", "workdir": "/"}})
    assert answer.json()["problems"][0]["field"] == "workdir"


async def test_folders_that_are_shared_may_be_named_and_links_lead_nowhere_else(ask, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "away").symlink_to("/etc")
    for path in (shared, shared / "code", shared / "code" / ".." / "code"):
        assert (await ask("/v1/jobs", json={"run": "true", "workdir": str(path)})).status_code == 201
    for path in (tmp_path, shared / "..", shared / "away", shared / "away" / "hostname", f"{shared}-not"):
        answer = await ask("/v1/jobs", json={"run": "true", "file_mounts": {"data": str(path)}})
        assert answer.status_code == 422, path
        assert answer.json()["problems"][0]["field"] == "file_mounts.data"


async def test_packages_by_name_and_files_in_the_job_are_no_files_of_the_broker(ask) -> None:
    needed = [
        "numpy>=2",
        "x[a,b]~=1.0; python_version < '3.12'",
        "x @ https://example.org/x-1.whl",
        "git+ssh://git@h/x",
    ]
    job = {"run": "cat /etc/hostname", "requirements": needed, "setup": "ls /"}
    assert (await ask("/v1/jobs", json=job)).status_code == 201
