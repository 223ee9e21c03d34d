"""A Kubernetes cluster for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.executors.kuberay.server.service import Cluster, kubernetes


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with kubernetes(tmp_path / "kubernetes") as running:
        yield running
