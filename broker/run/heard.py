"""A connection that is kept idle → whether it is still of use."""

from __future__ import annotations

import select


def heard(file: int) -> bool:
    """Whether something has come on it, by its descriptor, which is any number: its end, since nobody asked."""
    readable = select.poll()
    readable.register(file, select.POLLIN)
    return bool(readable.poll(0))
