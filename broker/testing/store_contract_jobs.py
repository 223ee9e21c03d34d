"""The promises of `broker.ports.Store` on jobs as tests: submitted once, listed in order, queued, cancelled."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from broker.model.errors import Conflict, InvalidInput, StoreError, UnknownName
from broker.model.jobs import Job, JobState
from broker.model.projects import Project
from broker.model.query import JobFilter
from broker.model.submissions import Entry
from broker.ports import Store
from broker.testing.store_values import FULL_SPEC, NOW_NS, array, attempt, job


def add(store: Store, *jobs: Job) -> tuple[Job, ...]:
    """Each job as a submission of its own, an array as one."""
    for _, group in itertools.groupby(jobs, lambda one: one.array_id or one.id):
        store.add_jobs(list(group), "{}", "hash")
    return jobs


def ids(store: Store, wanted: JobFilter) -> list[str]:
    """Ids of all pages, in order."""
    found: list[str] = []
    while True:
        page = store.jobs(wanted)
        assert len(page.jobs) <= wanted.limit
        found += [one.id for one in page.jobs]
        if page.next_cursor is None:
            return found
        wanted = replace(wanted, cursor=page.next_cursor)


class SubmissionContract:
    """Jobs are stored once, as they were given."""

    def test_a_job_comes_back_as_it_was(self, store: Store) -> None:
        stored = job(
            "j1", spec=FULL_SPEC, task_envs={"LR": "0.1"}, reason="new", not_before_ns=5, started_ns=1, exit_code=-1
        )
        store.add_project(Project(name="vision"))
        assert store.add_jobs([stored], '{"a": "ü"}', "h1") == (stored,)
        assert store.job("j1") == stored
        assert store.recorded("j1").document == '{"a": "ü"}'

    def test_a_repeat_stores_nothing_and_returns_what_is_there_now(self, store: Store) -> None:
        tasks = array("ar", 3)
        store.add_jobs(tasks, "{}", "h1")
        store.record(jobs=[replace(tasks[1], state=JobState.RUNNING)])
        again = store.add_jobs(tasks, "{}", "h1")
        assert [one.state.value for one in again] == ["queued", "running", "queued"]
        assert sum(store.counts().values()) == 3

    def test_the_same_id_with_another_document_is_a_conflict(self, store: Store) -> None:
        store.add_jobs([job("j1")], "{}", "h1")
        with pytest.raises(Conflict, match="j1"):
            store.add_jobs([job("j1", name="other")], "{}", "h2")
        assert store.job("j1").spec.name == "work"

    def test_all_jobs_of_a_submission_are_stored_or_none(self, store: Store) -> None:
        store.add_jobs([job("taken")], "{}", "h")
        with pytest.raises(StoreError):
            store.add_jobs([job("new"), job("taken")], "{}", "h")
        with pytest.raises(UnknownName):
            store.job("new")

    def test_a_batch_is_each_of_its_submissions(self, store: Store) -> None:
        store.add_project(Project(name=FULL_SPEC.project))
        store.add_jobs([job("first")], "{}", "h0")
        tagged = replace(FULL_SPEC, tags={"team": "red"})
        entries = [
            Entry(jobs=(job("first"),), document="{}", document_hash="h0"),
            Entry(jobs=(job("one", spec=tagged),), document='{"a": 1}', document_hash="h1"),
            Entry(jobs=tuple(array("many", 3)), document='{"a": 2}', document_hash="h2"),
            Entry(jobs=(job("other", spec=tagged),), document='{"a": 1}', document_hash="h1"),
        ]
        stored = store.add_batch(entries)
        assert stored == tuple(entry.jobs for entry in entries) == store.add_batch(entries)
        assert sum(store.counts().values()) == 6
        assert store.recorded("many.2").document == '{"a": 2}'
        assert sorted(ids(store, JobFilter(tags={"team": "red"}))) == ["one", "other"]

    def test_of_a_batch_all_is_stored_or_nothing(self, store: Store) -> None:
        store.add_jobs([job("taken")], "{}", "h0")
        entries = [Entry(jobs=(job(name),), document="{}", document_hash="h1") for name in ("new", "taken")]
        with pytest.raises(Conflict, match="taken"):
            store.add_batch(entries)
        with pytest.raises(UnknownName):
            store.job("new")

    def test_an_unknown_job_is_named_with_the_nearest(self, store: Store) -> None:
        add(store, job("train-1234"), *array("sweep", 2))
        with pytest.raises(UnknownName, match="train-1234"):
            store.job("train-1243")
        with pytest.raises(UnknownName, match=r"sweep\.0"):
            store.job("sweep")


class ListContract:
    """Lists are complete, in order, and paged."""

    def test_newest_first_in_pages_that_miss_and_repeat_nothing(self, store: Store) -> None:
        jobs = [job(f"j{n}", submitted_ns=NOW_NS + n // 3) for n in range(10)]
        add(store, *jobs)
        expected = [one.id for one in reversed(jobs)]
        for limit in (1, 3, 10, 11):
            assert ids(store, JobFilter(limit=limit)) == expected

    def test_a_page_is_not_moved_by_jobs_that_come_meanwhile(self, store: Store) -> None:
        add(store, job("a"), job("b", submitted_ns=NOW_NS + 1))
        first = store.jobs(JobFilter(limit=1))
        add(store, job("c", submitted_ns=NOW_NS + 2))
        rest = store.jobs(JobFilter(limit=5, cursor=first.next_cursor))
        assert [one.id for one in rest.jobs] == ["a"]

    def test_filters(self, store: Store) -> None:
        _, b, c = add(
            store,
            job("a", name="x", tags={"team": "t1", "run": "1"}),
            job("b", user="bob", tags={"team": "t1"}, submitted_ns=NOW_NS + 1),
            job("c", user="bob", name="x", tags={"team": "t2"}, submitted_ns=NOW_NS + 2),
        )
        store.record(jobs=[replace(b, state=JobState.RUNNING)], attempts=[attempt(b, 1), attempt(b, 2, pool="cloud")])
        for wanted, expected in (
            (JobFilter(user="bob"), "cb"),
            (JobFilter(name="x"), "ca"),
            (JobFilter(name="x", user="bob"), "c"),
            (JobFilter(states=frozenset({JobState.RUNNING})), "b"),
            (JobFilter(states=frozenset({JobState.RUNNING, JobState.QUEUED})), "cba"),
            (JobFilter(pool="cloud"), "b"),
            (JobFilter(pool="home"), ""),
            (JobFilter(tags={"team": "t1"}), "ba"),
            (JobFilter(tags={"team": "t1", "run": "1"}), "a"),
            (JobFilter(tags={"team": "t1"}, states=frozenset({JobState.RUNNING})), "b"),
            (JobFilter(tags={"none": "1"}), ""),
            (JobFilter(since_ns=b.submitted_ns), "cb"),
            (JobFilter(until_ns=c.submitted_ns), "ba"),
            (JobFilter(since_ns=b.submitted_ns, until_ns=c.submitted_ns, tags={"team": "t1"}), "b"),
            (JobFilter(array_id="a"), ""),
        ):
            for limit in (1, 50):
                assert "".join(ids(store, replace(wanted, limit=limit))) == expected, wanted
        assert store.jobs(JobFilter()).last_attempts == {"b": attempt(b, 2, pool="cloud")}

    def test_a_wrong_cursor_is_refused(self, store: Store) -> None:
        for cursor in ("next", "", "-", "1-", "-1", "1-2-3", "1e3-4"):
            with pytest.raises(InvalidInput, match="cursor"):
                store.jobs(JobFilter(cursor=cursor))
        add(store, job("a"))
        assert ids(store, JobFilter(cursor=f"{10**40}-{10**40}")) == ["a"]

    def test_what_no_database_can_keep_is_an_error_that_says_so(self, store: Store) -> None:
        for fields in ({"reason": "\ud800"}, {"submitted_ns": 2**70}):
            with pytest.raises(StoreError, match="store"):
                store.add_jobs([job("a", **fields)], "{}", "h")

    def test_tasks_of_an_array_can_be_one_row(self, store: Store) -> None:
        tasks = array("ar", 300, submitted_ns=NOW_NS + 1)
        add(store, job("old"), *tasks, job("mid", submitted_ns=NOW_NS + 2), *array("br", 2, submitted_ns=NOW_NS + 3))
        store.record(jobs=[replace(tasks[7], state=JobState.RUNNING)])
        seen: list[str] = []
        cursor = None
        for _ in range(4):
            page = store.jobs(JobFilter(limit=1, cursor=cursor), collapse=True)
            seen += [one.id for one in page.jobs] + [one.array_id for one in page.arrays]
            cursor = page.next_cursor
        assert (seen, cursor) == (["br", "mid", "ar", "old"], None)
        (summary,) = store.jobs(JobFilter(states=frozenset({JobState.RUNNING})), collapse=True).arrays
        assert summary.counts == {JobState.QUEUED: 299, JobState.RUNNING: 1}
        assert ids(store, JobFilter(array_id="ar", limit=100)) == [one.id for one in reversed(tasks)]

    def test_counts(self, store: Store) -> None:
        a, *_ = add(store, *array("ar", 3), job("b"))
        store.record(jobs=[replace(a, state=JobState.FAILED)])
        assert {state: n for state, n in store.counts().items() if n} == {JobState.QUEUED: 3, JobState.FAILED: 1}
        assert {state: n for state, n in store.counts("ar").items() if n} == {JobState.QUEUED: 2, JobState.FAILED: 1}


class QueueContract:
    """What waits is found in its order."""

    def test_largest_priority_first_then_oldest(self, store: Store) -> None:
        add(
            store,
            job("late", submitted_ns=NOW_NS + 1),
            job("early"),
            job("urgent", priority=90, submitted_ns=NOW_NS + 2),
            job("idle", priority=0),
            job("later", not_before_ns=NOW_NS + 10),
            job("running", state=JobState.RUNNING),
        )
        found = [one.id for one in store.placeable(NOW_NS + 5, 10)]
        assert found == ["urgent", "early", "late", "idle"]
        assert [one.id for one in store.placeable(NOW_NS + 10, 2)] == found[:2]
        skipped = store.placeable(NOW_NS + 5, 2, frozenset({"urgent", "late", "no such job"}))
        assert [one.id for one in skipped] == ["early", "idle"]

    def test_when_the_next_backoff_ends(self, store: Store) -> None:
        assert store.next_due_ns(0) is None
        add(store, job("a", not_before_ns=20), job("b", not_before_ns=10), job("c"))
        assert [store.next_due_ns(now) for now in (5, 10, 20)] == [10, 20, None]

    def test_cancelling_marks_what_has_not_ended(self, store: Store) -> None:
        add(store, *array("ar", 3), job("b"), job("c"))
        store.record(jobs=[replace(store.job("ar.0"), state=JobState.SUCCEEDED)])
        for _ in range(2):
            assert [one.id for one in store.request_cancel(["ar", "b"])] == ["ar.1", "ar.2", "b"]
        assert [one.id for one in store.cancel_requested(2)] == ["ar.1", "ar.2"]
        assert [one.id for one in store.placeable(NOW_NS, 10)] == ["c"]
        store.record(jobs=[replace(store.job("b"), state=JobState.CANCELLED, cancel_requested=False)])
        assert store.job("b").cancel_requested
        assert [one.id for one in store.cancel_requested(9)] == ["ar.1", "ar.2"]

    def test_cancelling_an_unknown_job_marks_none(self, store: Store) -> None:
        add(store, job("a"))
        with pytest.raises(UnknownName, match="nobody"):
            store.request_cancel(["a", "nobody"])
        assert not store.job("a").cancel_requested
