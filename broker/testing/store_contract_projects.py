"""What a store promises about projects, and about the jobs that are in them."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.model.errors import Conflict, InvalidInput, UnknownName
from broker.model.jobs import Job, JobState
from broker.model.projects import DEFAULT_PROJECT, Project, Quota, Role
from broker.model.query import JobFilter, SpendFilter
from broker.ports import Store
from broker.testing.store_values import NOW_NS, job

VISION = Project(
    name="vision",
    description="Bilder",
    weight=2.5,
    max_priority=70,
    quota=Quota(gpus={"H100": 8.0}, jobs_running=4, jobs_queued=100),
    user_quota=Quota(gpus={"H100": 0.5}),
    members={"ann": Role.ADMIN, "mia": Role.VIEWER},
    created_ns=NOW_NS,
)


def in_project(name: str, job_id: str) -> Job:
    """A queued job of a project."""
    made = job(job_id)
    return replace(made, spec=replace(made.spec, project=name))


class ProjectsContract:
    """Projects are kept as they were given; jobs are found by them."""

    def test_the_default_project_is_there_from_the_beginning_and_stays(self, store: Store) -> None:
        assert store.projects() == (Project(name=DEFAULT_PROJECT),)
        changed = Project(name=DEFAULT_PROJECT, weight=3.0)
        for _ in range(2):
            store.change_project(changed)
        store.keep_member(DEFAULT_PROJECT, "mia", Role.VIEWER)
        assert store.projects() == (replace(changed, members={"mia": Role.VIEWER}),)
        with pytest.raises(Conflict):
            store.drop_project(DEFAULT_PROJECT)

    def test_a_project_comes_back_as_it_was(self, store: Store) -> None:
        store.add_project(VISION)
        assert store.projects() == (Project(name=DEFAULT_PROJECT), VISION)
        with pytest.raises(Conflict, match="vision"):
            store.add_project(replace(VISION, weight=1.0))

    def test_a_change_leaves_members_alone(self, store: Store) -> None:
        store.add_project(VISION)
        store.change_project(replace(VISION, weight=9.0, members={}, created_ns=0))
        assert store.projects()[1] == replace(VISION, weight=9.0)
        with pytest.raises(UnknownName):
            store.change_project(Project(name="speech"))

    def test_members_come_and_go(self, store: Store) -> None:
        store.add_project(VISION)
        store.keep_member("vision", "mia", Role.SUBMITTER)
        store.drop_member("vision", "ann")
        assert store.projects()[1].members == {"mia": Role.SUBMITTER}
        with pytest.raises(UnknownName, match="ann"):
            store.drop_member("vision", "ann")
        with pytest.raises(UnknownName, match="no project"):
            store.keep_member("no", "ann", Role.ADMIN)
        with pytest.raises(UnknownName, match="no project"):
            store.drop_member("no", "ann")

    def test_a_project_goes_with_its_members_once_its_jobs_have_ended(self, store: Store) -> None:
        store.add_project(VISION)
        stored = in_project("vision", "v1")
        store.add_jobs([stored], "{}", "h")
        with pytest.raises(Conflict, match="v1"):
            store.drop_project("vision")
        assert store.projects()[1] == VISION
        store.record(jobs=[replace(stored, state=JobState.CANCELLED)])
        store.drop_project("vision")
        store.add_project(replace(VISION, members={}))
        assert store.projects()[1].members == {}
        assert store.project_of("v1") == "vision"

    def test_no_job_is_taken_for_a_project_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match="vision") as error:
            store.add_jobs([in_project("vision", "v1")], "{}", "h")
        assert error.value.problems[0].field == "project"
        assert store.project_of("v1") is None

    def test_jobs_and_spend_are_found_by_project(self, store: Store) -> None:
        for name in ("vision", "speech"):
            store.add_project(Project(name=name))
        for name in ("vision", "speech", DEFAULT_PROJECT):
            store.add_jobs([in_project(name, f"{name}-1")], "{}", name)
        for wanted in ({"vision"}, {"vision", "speech"}, {"no"}):
            page = store.jobs(JobFilter(projects=frozenset(wanted)))
            assert {one.spec.project for one in page.jobs} == wanted - {"no"}
            one_each = store.jobs(JobFilter(projects=frozenset(wanted), limit=1))
            assert (one_each.next_cursor is not None) == (len(wanted) > 1)
        assert store.spend(SpendFilter(by=("project",), projects=frozenset({"vision"}))) == ()

    def test_jobs_of_very_many_projects_are_found(self, store: Store) -> None:
        store.add_project(VISION)
        for name in ("vision", DEFAULT_PROJECT):
            store.add_jobs([in_project(name, f"{name}-1")], "{}", name)
        wanted = frozenset({"vision", *(f"p{number}" for number in range(500))})
        assert [one.id for one in store.jobs(JobFilter(projects=wanted)).jobs] == ["vision-1"]
        assert store.jobs(JobFilter(projects=wanted), collapse=True).next_cursor is None
