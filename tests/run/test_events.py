import asyncio

from hypothesis import given
from hypothesis import strategies as st

from broker.run.telling.events import MOST_WAITING, Event, Events, Listener


def event(number: int) -> Event:
    return Event(kind="job.running", at_ns=number, reason="")


async def test_each_listener_gets_all_in_their_order_from_when_it_listens() -> None:
    events = Events()
    events.tell([event(0)])
    with events.listen() as early:
        events.tell([event(1), event(2)])
        with events.listen() as late:
            events.tell([event(3)])
            assert [(await late.next(1)).at_ns] == [3]
        assert [(await early.next(1)).at_ns for _ in range(3)] == [1, 2, 3]
        assert await early.next(0.01) is None


async def test_who_waits_is_woken() -> None:
    events = Events()
    with events.listen() as listener:
        waiting = asyncio.create_task(listener.next(20))
        await asyncio.sleep(0)
        events.tell([event(7)])
        assert (await waiting).at_ns == 7


async def test_who_has_left_costs_nothing() -> None:
    events = Events()
    with events.listen() as listener:
        pass
    events.tell([event(1)])
    assert await listener.next(0.01) is None


@given(st.integers(0, 50))
def test_a_slow_listener_loses_the_oldest_and_is_told_how_many(beyond: int) -> None:
    listener = Listener(lambda: "")
    for number in range(MOST_WAITING + beyond):
        listener.take(event(number))
    assert listener.missed == beyond
    assert asyncio.run(listener.next(1)).at_ns == beyond
