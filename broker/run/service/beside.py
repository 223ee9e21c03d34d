"""What people send → whether it is so large that reading it would hold up everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

LARGE: Final = 1_000  # values; a few milliseconds

T = TypeVar("T")


def is_large(sent: Mapping[str, Any]) -> bool:
    """Whether there are so many values in it, on any level; it looks at no more than that."""
    left = LARGE
    waiting: list[Any] = [sent]
    while waiting and left > 0:
        each = waiting.pop()
        if isinstance(each, Mapping):
            each = each.values()
        elif not isinstance(each, list | tuple):
            continue
        left -= len(each)
        waiting += each if left > 0 else ()
    return left <= 0


async def beside(large: bool, work: Callable[[], T]) -> T:
    """What `work` returns, of what is large beside the event loop."""
    return await asyncio.to_thread(work) if large else work()
