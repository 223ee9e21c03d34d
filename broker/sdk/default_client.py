"""The client of the broker that this process is configured for, made once and kept while that broker is the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from broker.run.lifecycle import DaemonFile, is_running
from broker.run.settings import load_settings
from broker.sdk.client import Client
from broker.sdk.connect import connect, elsewhere


@dataclass(frozen=True, slots=True)
class _Found:
    client: Client
    state_dir: Path | None  # None: it runs elsewhere
    file: tuple[int, int]  # which daemon it was


_found: dict[tuple[object, ...], _Found] = {}


def default_client(*, start: bool = False) -> Client:
    """A client of the broker that the configuration names; with `start`, one is started if none runs.

    BROKER_URL and BROKER_TOKEN name a broker that runs elsewhere. Raises `DaemonError`, and `InvalidInput` for a
    configuration that is wrong.
    """
    key = (os.getcwd(), *sorted(item for item in os.environ.items() if item[0].startswith("BROKER_")))
    found = _found.get(key)
    if found is None or not _same(found):
        found = _found[key] = _find(start)
    return found.client


def _find(start: bool) -> _Found:
    if (url := os.environ.get("BROKER_URL")) is not None:
        return _Found(elsewhere(url, os.environ.get("BROKER_TOKEN")), None, (0, 0))
    settings = load_settings()
    client = connect(settings.state_dir, start=start, config=settings.file, user=settings.user)
    return _Found(client, settings.state_dir, _signature(settings.state_dir))


def _same(found: _Found) -> bool:
    if found.state_dir is None:
        return True
    return _signature(found.state_dir) == found.file and is_running(found.state_dir)


def _signature(state_dir: Path) -> tuple[int, int]:
    try:
        stat = DaemonFile.path(state_dir).stat()
    except FileNotFoundError:
        return (0, 0)
    return stat.st_ino, stat.st_mtime_ns
