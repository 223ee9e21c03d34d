"""A server for each test, and the token that it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.executors.modal.server.service import ModalServer, modal_server
from tests.executors.modal.server.world import TOKEN


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the server, and nobody's configuration file."""
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN[0])
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN[1])
    monkeypatch.delenv("MODAL_SERVER_URL", raising=False)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModalServer]:
    async with modal_server(tmp_path / "modal") as running:
        yield running
