"""Answers that are kept: fresh for who wants them fresh, and made once for all who ask together."""

from __future__ import annotations

import asyncio

import pytest

from broker.run.service.kept import MOST, Kept
from broker.testing.fakes import FakeClock


class Maker:
    def __init__(self) -> None:
        self.made = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        await self.go.wait()
        self.made += 1
        return self.made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_an_answer_is_as_young_as_is_asked_for(clock: FakeClock) -> None:
    kept, make = Kept[int](clock), Maker()
    make.go.set()
    assert await kept.answer("a", 60, make) == 1
    clock.advance(30)
    assert await kept.answer("a", 60, make) == 1
    assert await kept.answer("a", 10, make) == 2
    assert await kept.answer("b", 60, make) == 3
    clock.advance(1)
    assert await kept.answer("a", 0, make) == 4


async def test_who_asks_while_it_is_made_waits_for_the_same(clock: FakeClock) -> None:
    kept, make = Kept[int](clock), Maker()
    asked = [asyncio.create_task(kept.answer("a", 60, make)) for _ in range(5)]
    await asyncio.sleep(0)
    make.go.set()
    assert await asyncio.gather(*asked) == [1] * 5


async def test_who_wants_it_fresh_is_not_given_what_was_begun_before(clock: FakeClock) -> None:
    kept, make = Kept[int](clock), Maker()
    first = asyncio.create_task(kept.answer("a", 0, make))
    await asyncio.sleep(0)
    clock.advance(1)
    second = asyncio.create_task(kept.answer("a", 0, make))
    await asyncio.sleep(0)
    make.go.set()
    assert [await first, await second] == [1, 2]


async def test_what_fails_is_made_again(clock: FakeClock) -> None:
    async def fails() -> int:
        raise ValueError("no")

    kept, make = Kept[int](clock), Maker()
    make.go.set()
    with pytest.raises(ValueError, match="no"):
        await kept.answer("a", 60, fails)
    assert await kept.answer("a", 60, make) == 1


async def test_what_was_asked_long_ago_is_forgotten(clock: FakeClock) -> None:
    kept, make = Kept[int](clock), Maker()
    make.go.set()
    for number in range(MOST + 1):
        await kept.answer(number, 60, make)
    assert await kept.answer(1, 60, make) == 2
    assert await kept.answer(0, 60, make) == MOST + 2
