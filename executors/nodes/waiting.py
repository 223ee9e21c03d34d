"""Waiting for a provider: what fails for a moment is tried again, machines that do not come are `NoCapacity`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from broker.model.errors import NoCapacity, Unreachable
from executors.nodes.settings import NodeSettings

TRIES: Final = 5


def again() -> Retrying:
    """Attempts at something that may be `Unreachable` for a moment: bounded, with growing pauses and jitter."""
    return Retrying(
        retry=retry_if_exception_type(Unreachable),
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )


class Waiting:
    """One wait, with its limit."""

    def __init__(self, who: str, where: str, problem: Callable[[], str], settings: NodeSettings) -> None:
        self._who = who
        self._where = where
        self._problem = problem  # what the provider says is wrong; "" for nothing
        self._settings = settings
        self._since = time.monotonic()

    def pause(self, have: str) -> None:
        """A moment. Raises `NoCapacity` with what the provider says, or when it has taken too long."""
        waited = time.monotonic() - self._since
        why = self._problem()
        if (why and waited >= self._settings.patience_s) or waited >= self._settings.launch_wait_s:
            why = why or f"the provider found none within {self._settings.launch_wait_s:g} s"
            raise NoCapacity(f"{self._who}: {have} in {self._where}: {why}")
        time.sleep(self._settings.every_s)
