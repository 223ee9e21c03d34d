"""News are told once and never lost, whenever they come."""

import asyncio
from typing import Any

from executors.on_machine.news import News


async def test_what_changes_is_told_once_with_the_version_to_ask_for_next() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    news = News(known)
    version, reports = await news.since(0, 0.0)
    assert reports == [known["a"], known["b"]]
    await news.tell(known["b"])
    later, reports = await news.since(version, 5.0)
    assert (later > version, reports) == (True, [known["b"]])
    assert await news.since(later, 0.01) == (later, [])


async def test_what_changes_in_the_moment_that_a_wait_runs_out_is_told() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}}
    news = News(known)
    waiting = asyncio.create_task(news.since(1, 0.05))
    await asyncio.sleep(0.01)
    async with news._changed:  # as `tell` does; the wait runs out meanwhile and comes back after it
        await asyncio.sleep(0.1)
        news._version += 1
        known["a"]["version"] = news._version
    assert await waiting == (2, [known["a"]])


async def test_a_version_of_an_earlier_life_means_all() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}}
    assert await News(known).since(99, 5.0) == (1, [known["a"]])
