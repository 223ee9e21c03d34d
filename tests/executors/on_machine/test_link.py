"""A link knows that the other end is gone by the time it says so."""

import asyncio
import socket

import pytest

from broker.model.errors import Unreachable
from executors.on_machine.link import Link


async def _linked() -> tuple[Link, socket.socket]:
    ours, theirs = socket.socketpair()
    link = Link("the other end")
    link.attach(*await asyncio.open_unix_connection(sock=ours))
    return link, theirs


async def test_who_writes_to_an_end_that_is_gone_finds_the_link_dead() -> None:
    """Before the reader does: whoever hears of it opens anew at once, and must not be told that all is well."""
    link, theirs = await _linked()
    theirs.close()
    with pytest.raises(Unreachable, match="the other end went away"):
        await link.call("anything", bytes(1 << 22))
    assert not link.alive
    await link.close()


async def test_who_writes_while_the_reader_finds_the_end_gone_is_told_so_too() -> None:
    link, theirs = await _linked()
    writer = link._writer
    assert writer is not None

    async def drain() -> None:
        link._gone(writer)
        raise ConnectionResetError("Connection lost")

    writer.drain = drain  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="the other end went away"):
        await link.call("anything")
    assert not link.alive
    theirs.close()
    await link.close()


async def test_who_waits_for_an_end_that_goes_away_is_told() -> None:
    link, theirs = await _linked()
    asking = asyncio.create_task(link.call("anything"))
    await asyncio.get_running_loop().sock_recv(_unblocked(theirs), 8)
    theirs.close()
    with pytest.raises(Unreachable, match="went away"):
        await asking
    assert not link.alive
    await link.close()


def _unblocked(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    return sock
