"""Frames: Python values ↔ lengths and pickles on a stream between two processes of ours."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any, Final

UNASKED: Final = 0  # the number of an answer that nobody asked for


async def read_frame(reader: asyncio.StreamReader) -> Any:
    """The next value; None at the end of the stream."""
    try:
        size = int.from_bytes(await reader.readexactly(8), "big")
        return pickle.loads(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write_frame(writer: asyncio.StreamWriter, value: Any) -> None:
    """Sends one value."""
    writer.write(frame(value))
    await writer.drain()


def frame(value: Any) -> bytes:
    """One value as it is sent."""
    data = pickle.dumps(value)
    return len(data).to_bytes(8, "big") + data
