"""Launches: orders that are given in one turn of the event loop → few calls over the link, and an answer for each.

A call costs the gateway and the supervisor more than the launch that it asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from broker.model.errors import Unreachable
from executors.on_machine.link import Link
from executors.on_machine.order import Order

Asked: TypeAlias = tuple[Order, list[str], bool]  # the nodes that are held for it; whether it waits for new ones
_Waiting: TypeAlias = tuple[Asked, asyncio.Future[str]]

MOST: Final = 64  # orders in a call
_BYTES: Final = 1 << 16  # of what orders bring along; Ray keeps larger arguments in its object store


class Launches:
    """Asks the supervisor to launch."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: list[_Waiting] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def launch(self, order: Order, nodes: list[str], awaits: bool = False) -> str:
        """What the supervisor's `launch` says. Raises `Unreachable`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)  # after all that are ready to run now, others that launch among them
        self._waiting.append(((order, nodes, awaits), answer))
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for together in _calls(waiting):
            self._calls.add(call := asyncio.create_task(self._call(together)))
            call.add_done_callback(self._calls.discard)

    async def _call(self, together: Sequence[_Waiting]) -> None:
        try:
            said = await self._link.call("launch_all", [asked for asked, _ in together])
        except Exception as error:
            for _, answer in together:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), (what, problem) in zip(together, said, strict=True):
            if answer.done():  # nobody waits for it any longer
                continue
            if problem:
                answer.set_exception(Unreachable(problem))
            else:
                answer.set_result(what)


def _calls(waiting: Sequence[_Waiting]) -> Iterator[Sequence[_Waiting]]:
    """Those that go together, in the order in which they were asked for."""
    first, size = 0, 0
    for at, ((order, *_), _) in enumerate(waiting):
        brought = len(order.payload or b"") + len(order.bundle or b"")
        if at - first == MOST or (at > first and size + brought > _BYTES):
            yield waiting[first:at]
            first, size = at, 0
        size += brought
    yield waiting[first:]
