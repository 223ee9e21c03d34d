"""Quotas with several brokers on one database: whoever begins jobs at the same time, no quota is passed."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.model.jobs import Job, JobState
from broker.model.projects import DEFAULT_PROJECT, Project, Quota
from broker.ports import Store
from broker.run.store import open_store
from broker.testing.store_values import attempt, job, placement
from tests.run.several import Town, a_pool, until


def a_job(job_id: str, user: str = "ann", nodes: int = 1) -> Job:
    made = job(job_id, user=user)
    return replace(made, spec=replace(made.spec, resources=replace(made.spec.resources, num_nodes=nodes)))


def begin(store: Store, *begun: Job, quotas: Project) -> frozenset[str]:
    """As a broker that saw room for all of these when it decided; each takes half an H100 on each of its nodes."""
    return store.decide(
        jobs=[replace(one, state=JobState.STARTING, attempts=1) for one in begun],
        attempts=[attempt(one) for one in begun],
        placements=[placement(one) for one in begun],
        quotas=[quotas],
    )


@pytest.mark.parametrize(
    ("quota", "of_users", "begun"),
    [
        (Quota(jobs_running=3), Quota(), 3),
        (Quota(gpus={"H100": 2.5}), Quota(), 5),
        (Quota(), Quota(jobs_running=2), 4),
        (Quota(gpus={"L4": 0.5}), Quota(), 16),
    ],
)
def test_of_many_that_begin_at_once_only_those_do_that_quotas_have_room_for(
    url: str, quota: Quota, of_users: Quota, begun: int
) -> None:
    """Each has a connection of its own, as brokers in several processes have; two users take turns."""
    stores = [open_store(url) for _ in range(4)]
    project = Project(name=DEFAULT_PROJECT, quota=quota, user_quota=of_users)
    jobs = [a_job(f"j{number}", user=("ann", "ben")[number % 2]) for number in range(16)]
    for one in jobs:
        stores[0].add_jobs([one], "{}", one.id)
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda number: begin(stores[number % 4], jobs[number], quotas=project), range(16)))
    assert sum(map(len, taken)) == begun
    assert stores[0].counts().get(JobState.QUEUED, 0) == 16 - begun
    assert len(stores[0].open_attempts()) == begun
    for one in stores:
        one.close()


def test_what_a_quota_has_no_room_for_stays_queued_and_nobody_of_its_project_overtakes_it(store: Store) -> None:
    project = Project(name=DEFAULT_PROJECT, quota=Quota(gpus={"H100": 2.0}))
    first, large, small, other = a_job("a"), a_job("b", nodes=4), a_job("c"), a_job("d")
    store.add_project(Project(name="other"))
    other = replace(other, spec=replace(other.spec, project="other"))
    for one in (first, large, small, other):
        store.add_jobs([one], "{}", one.id)
    assert begin(store, first, quotas=project) == {"a"}
    assert begin(store, large, small, other, quotas=project) == {"d"}
    assert [store.job(name).state for name in "bc"] == [JobState.QUEUED] * 2
    assert not store.recorded("b").attempts and not store.recorded("b").placements
    assert begin(store, small, quotas=project) == {"c"}


def test_jobs_of_projects_without_quotas_are_not_held(store: Store) -> None:
    for name in ("a", "b"):
        store.add_jobs([a_job(name)], "{}", name)
    assert begin(store, a_job("a"), quotas=Project(name="vision", quota=Quota(jobs_running=0))) == {"a"}
    assert store.decide(jobs=[replace(a_job("b"), state=JobState.CANCELLED)]) == {"b"}


@pytest.fixture
def town(postgresql_url: str, tmp_path: Path) -> Iterator[Town]:
    made = Town(postgresql_url, tmp_path)
    yield made
    made.close()


async def test_a_broker_that_looked_before_another_began_begins_nothing_beyond_a_quota(town: Town) -> None:
    """It never sees what is held, and is kept from beginning a second job all the same."""
    town.run_s = None
    broker = town.broker("b", [a_pool("own")])
    broker.store.change_project(Project(name=DEFAULT_PROJECT, quota=Quota(jobs_running=1)))
    decide, kept = broker.store.decide, Counter[str]()

    def watched(**news: Any) -> frozenset[str]:
        mine = decide(**news)
        kept.update({each.job_id for each in news["attempts"]} - mine)
        return mine

    broker.store.decide = watched  # type: ignore[method-assign]
    broker.store.holdings = tuple  # type: ignore[method-assign]
    async with town.running(broker):
        town.submit(broker, "j0")
        await until(lambda: "j0-a1" in town.launches())
        town.submit(broker, "j1")
        await until(lambda: kept["j1"] >= 2)  # it is looked at again at once, with nobody to ask for it
        assert town.launches() == {"j0-a1": 1} and not kept["j0"]
        assert broker.store.job("j1").state is JobState.QUEUED
