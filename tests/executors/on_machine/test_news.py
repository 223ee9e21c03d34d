"""News are told once and never lost, whenever they come."""

import asyncio
import time
from typing import Any

from executors.on_machine.news import News
from executors.on_machine.reports import accepted


async def test_what_changes_is_told_once_with_the_version_to_ask_for_next() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    news = News(known)
    version, reports = await news.since(0, 0.0)
    assert reports == [known["a"], known["b"]]
    news.tell(known["b"])
    later, reports = await news.since(version, 5.0)
    assert (later > version, reports) == (True, [known["b"]])
    assert await news.since(later, 0.01) == (later, [])


async def test_what_changes_in_the_moment_that_a_wait_runs_out_is_told() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}}
    news = News(known)
    waiting = asyncio.create_task(news.since(1, 0.05))
    await asyncio.sleep(0)
    time.sleep(0.1)  # the wait has run out, and nobody has seen to it yet
    news.tell(known["a"])
    assert await waiting == (2, [known["a"]])


async def test_what_may_be_told_later_wakes_nobody_before_but_is_told_with_what_comes_next() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    news = News(known)
    waiting = asyncio.create_task(news.since(1, 50.0))
    news.tell(known["a"], within_s=40.0)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert await news.since(1, 0.0) == (2, [known["a"]])  # whoever does not wait is told
    news.tell(known["b"])
    assert await waiting == (3, [known["a"], known["b"]])


async def test_what_may_be_told_later_is_told_then_once() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}}
    news = News(known)
    news.tell(known["a"], within_s=0.01)
    assert await news.since(1, 50.0) == (2, [known["a"]])
    assert await news.since(2, 0.02) == (2, [])


async def test_a_version_of_an_earlier_life_means_all() -> None:
    known: dict[str, dict[str, Any]] = {"a": {}}
    assert await News(known).since(99, 5.0) == (1, [known["a"]])


async def test_what_nobody_was_told_of_yet_is_no_news_and_in_nobody_s_way() -> None:
    known: dict[str, dict[str, Any]] = {}
    news = News(known)
    known["a"] = accepted("a", [], {}, 1)
    assert await news.since(1, 0.0) == (1, [])
    news.tell(known["a"])
    assert await news.since(1, 0.0) == (2, [known["a"]])
