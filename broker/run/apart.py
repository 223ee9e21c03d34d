"""Doing something with many at once, and with fewer where that fails: who can't be helped is found, the others are.

Whatever is done must be all or nothing, as a transaction is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from broker.model.errors import BrokerError

Item = TypeVar("Item")
Result = TypeVar("Result")


async def apart(
    items: Sequence[Item], act: Callable[[Sequence[Item]], Awaitable[Result]], passing: tuple[type[BrokerError], ...]
) -> tuple[list[Result], list[tuple[Item, Exception]]]:
    """The results for those that it can be done with, in pieces, and the others each with its error.

    Raises errors that are `passing`: they say nothing of the items.
    """
    if not items:
        return [], []
    try:
        return [await act(items)], []
    except passing:
        raise
    except Exception as error:
        if len(items) == 1:
            return [], [(items[0], error)]
    middle = len(items) // 2
    first, second = await apart(items[:middle], act, passing), await apart(items[middle:], act, passing)
    return first[0] + second[0], first[1] + second[1]
