"""Several brokers on one database: each job by exactly one, no pool beyond its room, and what one had the next goes on with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.model.errors import Conflict, LeaseLost
from broker.model.jobs import AttemptState, JobState
from tests.run.several import CPUS, Town, a_pool, until


@pytest.fixture
def town(postgresql_url: str, tmp_path: Path) -> Iterator[Town]:
    made = Town(postgresql_url, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("brokers", [2, 3])
async def test_each_job_is_started_once_and_no_pool_beyond_its_room(town: Town, brokers: int) -> None:
    shared = a_pool("shared")
    all_ = [town.broker(f"b{n}", [a_pool(f"own{n}"), shared], ["shared"]) for n in range(brokers)]
    async with town.running(*all_):
        for number in range(6):
            town.submit(all_[number % brokers], f"j{number}", array=20)
        await until(lambda: all_[0].store.counts()[JobState.SUCCEEDED] == 120)
    store = town.store()
    tasks = [store.recorded(f"j{number}.{task}") for number in range(6) for task in range(20)]
    assert [len(each.attempts) for each in tasks] == [1] * 120
    assert set(town.launches().values()) == {1}
    assert {each.most <= CPUS for each in town.executors.values()} == {True}
    ran = {attempt.pool for each in tasks for attempt in each.attempts}
    assert ran == {"shared", *(f"own{n}" for n in range(brokers))}
    for each in tasks:
        moved = [change.new for change in store.changes(each.job.id) if change.attempt_id is None]
        assert moved in (["starting", "running", "succeeded"], ["starting", "succeeded"])
