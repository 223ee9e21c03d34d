"""What is compiled the first time → a line that says so, since it takes longer than all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORDS = "compiling what counts, once after an installation: some 15 s"


@contextmanager
def compiling(progress: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile `progress` gets a line when a function is compiled that no process has compiled here before."""
    from numba.core.event import Event, Listener, install_listener

    class Telling(Listener):  # type: ignore[misc]  # Numba has no types
        def on_start(self, event: Event) -> None:
            progress(WORDS)

        def on_end(self, event: Event) -> None:
            pass

    with install_listener("numba:compile", Telling()):
        yield
