"""Work that may be given up: it is done, or its end was asked for before."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class GivenUp(Exception):
    """The end was asked for before the work was done; it goes on no more."""


async def unless_cancelled(work: Coroutine[Any, Any, T], cancelled: asyncio.Event) -> T:
    """What the work returns or raises. Raises `GivenUp` where it was cancelled first."""
    making, asked = asyncio.create_task(work), asyncio.create_task(cancelled.wait())
    try:
        await asyncio.wait({making, asked}, return_when=asyncio.FIRST_COMPLETED)
        if making.done():
            return making.result()
    finally:
        asked.cancel()
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
    raise GivenUp
