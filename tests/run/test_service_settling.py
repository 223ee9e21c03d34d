import asyncio

from broker.run.service.settling import Settling
from broker.testing.fakes import FakeClock


class Counting:
    """A broker of which only settling is asked."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.settled = 0

    async def settle_now(self) -> None:
        await asyncio.sleep(0)
        self.settled += 1


async def test_what_is_settled_is_not_settled_again() -> None:
    broker = Counting()
    settling = Settling(broker)  # type: ignore[arg-type]
    ended_ns = broker.clock.now_ns() - 1
    await settling.up_to(ended_ns)
    await settling.up_to(ended_ns)
    assert broker.settled == 1
    await settling.up_to(broker.clock.now_ns() + 1)
    assert broker.settled == 2


async def test_many_who_look_at_once_share_one_settlement() -> None:
    broker = Counting()
    settling = Settling(broker)  # type: ignore[arg-type]
    await asyncio.gather(*(settling.within(1.0) for _ in range(20)))
    assert broker.settled == 1
    broker.clock.advance(2)
    await settling.within(1.0)
    assert broker.settled == 2
