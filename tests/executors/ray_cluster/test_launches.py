"""Orders that are given at once go over the link together, and each gets its own answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.model.errors import Unreachable
from broker.testing.builders import launch_request
from broker.testing.builders import pool as a_pool
from executors.on_machine.frames import read_frame, write_frame
from executors.on_machine.link import Link
from executors.on_machine.order import Order, order_of
from executors.ray_cluster.launches import MOST, Launches

Answer = Callable[[list[tuple[Order, list[str], bool]]], Any]


@asynccontextmanager
async def launches(answer: Answer) -> AsyncIterator[tuple[Launches, list[int]]]:
    """Over a link to who answers so, and how many orders each call had; None as an answer hangs up."""
    ours, theirs = socket.socketpair()
    calls: list[int] = []

    async def serve() -> None:
        reader, writer = await asyncio.open_unix_connection(sock=theirs)
        while (request := await read_frame(reader)) is not None:
            number, method, (asked,) = request
            assert method == "launch_all"
            calls.append(len(asked))
            said = answer(asked)
            if said is None:
                break
            await write_frame(writer, (number, None, said))
        writer.close()

    serving = asyncio.create_task(serve())
    link = Link("the other end")
    link.attach(*await asyncio.open_unix_connection(sock=ours))
    try:
        yield Launches(link), calls
    finally:
        await link.close()
        await serving


def order(**fields: Any) -> Order:
    return order_of(launch_request(**fields), a_pool(), 1_000, str(Path("/nowhere")))


async def test_those_of_one_moment_are_one_call_and_one_that_fails_fails_alone() -> None:
    orders = [order() for _ in range(5)]

    def answer(asked: list[tuple[Order, list[str], bool]]) -> list[tuple[str, str]]:
        return [
            ("", "no space left") if each.attempt_id == orders[2].attempt_id else (f"{nodes} {awaits}", "")
            for each, nodes, awaits in asked
        ]

    async with launches(answer) as (by, calls):
        said = await asyncio.gather(
            *(by.launch(each, [f"n{at}"], at == 4) for at, each in enumerate(orders)), return_exceptions=True
        )
        assert calls == [5]
        assert said[:2] + said[3:] == ["['n0'] False", "['n1'] False", "['n3'] False", "['n4'] True"]
        assert isinstance(said[2], Unreachable) and str(said[2]) == "no space left"
        assert await by.launch(order(), []) == "[] False"
        assert calls == [5, 1]


async def test_what_is_much_goes_in_several_calls() -> None:
    heavy = [order(function_payload=bytes(40_000)) for _ in range(3)]
    async with launches(lambda asked: [("going", "")] * len(asked)) as (by, calls):
        said = await asyncio.gather(*(by.launch(each, ["n"]) for each in [order() for _ in range(MOST + 1)] + heavy))
        assert said == ["going"] * (MOST + 4)
        assert calls == [MOST, 2, 1, 1]


async def test_an_end_that_goes_away_is_told_to_all_but_those_that_wait_no_longer() -> None:
    async with launches(lambda _: None) as (by, calls):
        asking = [asyncio.create_task(by.launch(order(), ["n"])) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        said = await asyncio.gather(*asking, return_exceptions=True)
        assert calls == [3]
        assert [type(each) for each in said] == [asyncio.CancelledError, Unreachable, Unreachable]
