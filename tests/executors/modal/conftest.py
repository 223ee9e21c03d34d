"""A server for each test, and the token that it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.executors.modal.server.service import ModalServer, modal_server
from tests.executors.modal.server.tasks import zygote
from tests.executors.modal.server.world import TOKEN


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the server, and nobody's configuration file."""
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN[0])
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN[1])
    monkeypatch.delenv("MODAL_SERVER_URL", raising=False)


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where containers of functions are forked from: once, as it takes a second to import Modal's client."""
    with zygote(tmp_path_factory.mktemp("zygote")) as path:
        yield path


@pytest_asyncio.fixture
async def server(tmp_path: Path, containers: Path) -> AsyncIterator[ModalServer]:
    async with modal_server(tmp_path / "modal", containers) as running:
        yield running
