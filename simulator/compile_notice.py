"""A progress line while Numba compiles for the first time, which takes longer than everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORDS = "compiling what counts, once after an installation: some 15 s"


@contextmanager
def announced_compilation(progress: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile `progress` gets a line whenever a function is compiled that is not in Numba's cache yet."""
    from numba.core.event import Event, Listener, install_listener

    class Notice(Listener):  # type: ignore[misc]  # Numba has no types
        def on_start(self, event: Event) -> None:
            progress(WORDS)

        def on_end(self, event: Event) -> None:
            pass

    with install_listener("numba:compile", Notice()):
        yield
