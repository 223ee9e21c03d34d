"""The promises of `broker.ports.Store` on what happens to jobs as tests: legal moves, attempts, placements, history."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from broker.model.errors import BrokerError, Conflict, UnknownName
from broker.model.jobs import ATTEMPT_MOVES, JOB_MOVES, Attempt, AttemptState, Job, JobState
from broker.model.money import NS_PER_S
from broker.model.placement import Verdict
from broker.ports import Store
from broker.testing.store_contract_jobs import add
from broker.testing.store_values import NOW_NS, array, attempt, change, job, placement


class HistoryContract:
    """States make legal moves only, and everything that happened stays."""

    @pytest.mark.parametrize("old", list(JobState))
    def test_a_job_makes_legal_moves_only(self, store: Store, old: JobState) -> None:
        for new in JobState:
            (stored,) = add(store, job(f"to-{new}", state=old))
            moved = replace(stored, state=new, reason="moved")
            if new is old or new in JOB_MOVES[old]:
                store.record(jobs=[moved])
                assert store.job(stored.id) == moved
            else:
                with pytest.raises(Conflict, match=f"job {stored.id}"):
                    store.record(jobs=[moved], changes=[change(stored, new.value)])
                assert store.job(stored.id) == stored
                assert store.changes(stored.id) == ()

    @pytest.mark.parametrize("old", list(AttemptState))
    def test_an_attempt_makes_legal_moves_only(self, store: Store, old: AttemptState) -> None:
        for new in AttemptState:
            (stored,) = add(store, job(f"to-{new}"))
            first = attempt(stored, state=old)
            store.record(attempts=[first])
            moved = replace(first, state=new, started_ns=1, ended_ns=2, exit_code=137, signal=9, reason="moved")
            if new is old or new in ATTEMPT_MOVES[old]:
                store.record(attempts=[moved])
                assert store.attempt(first.id) == moved
            else:
                with pytest.raises(Conflict, match=f"attempt {first.id}"):
                    store.record(attempts=[moved], jobs=[replace(stored, state=JobState.FAILED)])
                assert (store.attempt(first.id), store.job(stored.id)) == (first, stored)

    def test_recording_leaves_what_was_submitted(self, store: Store) -> None:
        (stored,) = add(store, job("a", task_envs={"K": "1"}))
        store.request_cancel(["a"])
        other = job("a", name="other", user="eve", submitted_ns=1, state=JobState.STARTING, attempts=2, ended_ns=7)
        store.record(jobs=[other])
        expected = replace(stored, cancel_requested=True, state=JobState.STARTING, attempts=2, ended_ns=7)
        assert store.job("a") == expected

    def test_an_unknown_job_is_refused_and_nothing_recorded(self, store: Store) -> None:
        (stored,) = add(store, job("a"))
        with pytest.raises(UnknownName, match="ghost"):
            store.record(jobs=[replace(stored, state=JobState.FAILED)], changes=[change(job("ghost"), "failed")])
        assert store.job("a") == stored

    def test_history_is_in_order_and_of_one_job(self, store: Store) -> None:
        a, b = add(store, job("a"), job("b"))
        made = [change(a, "starting"), change(a, "running", attempt_id="a-a1", at_ns=1), change(a, "failed")]
        store.record(changes=[made[0], change(b, "running"), made[1]])
        store.record(changes=[made[2]])
        assert store.changes("a") == tuple(made)
        with pytest.raises(UnknownName):
            store.changes("c")

    def test_placements_come_back_and_a_repeated_wait_is_kept_once(self, store: Store) -> None:
        (a,) = add(store, job("a"))
        wait = placement(a, Verdict.WAIT, reason="full", chosen=None)
        made = [wait, replace(wait, reason="still full"), wait, placement(a), placement(a)]
        store.record(placements=[made[0], replace(wait, at_ns=NOW_NS + 1)])
        store.record(placements=[replace(wait, at_ns=NOW_NS + 2)])
        for one in made[1:]:
            store.record(placements=[one])
        assert store.recorded("a").placements == tuple(made)

    def test_why_a_job_waits_is_what_was_decided_last(self, store: Store) -> None:
        a, b = add(store, job("a"), job("b"))
        store.record(placements=[placement(a, Verdict.WAIT, reason="full", chosen=None)])
        store.record(placements=[placement(a, Verdict.WAIT, reason="still full", chosen=None), placement(b)])
        assert (store.waits_for("a"), store.waits_for("b")) == ("still full", "")
        store.record(placements=[placement(a)])
        assert store.waits_for("a") == ""

    def test_attempts(self, store: Store) -> None:
        a, b = add(store, job("a"), job("b"))
        one, two, other = attempt(a, 1), attempt(a, 2, pool="cloud"), attempt(b, 1, stored_ns=NOW_NS + 9)
        store.record(attempts=[one, two, other])
        store.record(attempts=[replace(one, state=AttemptState.REFUSED)])
        assert store.recorded("a").attempts == (replace(one, state=AttemptState.REFUSED), two)
        assert store.open_attempts() == (two, other)
        assert store.open_attempts("cloud") == (two,)
        with pytest.raises(UnknownName, match="a-a3"):
            store.attempt("a-a3")

    def test_runtimes_are_those_of_succeeded_runs_newest_first(self, store: Store) -> None:
        for number, (name, state) in enumerate([("x", "succeeded"), ("x", "failed"), ("y", "succeeded")] * 2):
            (stored,) = add(store, job(f"j{number}", name=name))
            end = NOW_NS + number * NS_PER_S
            store.record(
                jobs=[replace(stored, state=JobState(state), ended_ns=end)],
                attempts=[_ran(stored, AttemptState(state), NOW_NS - NS_PER_S // 2, end)],
            )
        assert store.runtimes("ann", "x") == (3.5, 0.5)
        assert store.runtimes("ann", "x", limit=1) == (3.5,)
        assert store.runtimes("bob", "x") == ()

    def test_many_threads_at_once(self, store: Store) -> None:
        tasks = add(store, *array("ar", 64))

        def run(task: Job) -> None:
            store.record(jobs=[replace(task, state=JobState.RUNNING)], attempts=[attempt(task)])
            store.placeable(NOW_NS, 10)
            store.record(jobs=[replace(task, state=JobState.SUCCEEDED)], changes=[change(task, "succeeded")])

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(run, tasks))
        assert store.counts()[JobState.SUCCEEDED] == 64
        assert len(store.open_attempts()) == 64

    def test_two_who_end_the_same_job_can_t_both(self, store: Store) -> None:
        (stored,) = add(store, job("a", state=JobState.RUNNING))

        def end(state: JobState) -> bool:
            try:
                store.record(jobs=[replace(stored, state=state)])
            except BrokerError:
                return False
            return True

        with ThreadPoolExecutor(3) as threads:
            assert sum(threads.map(end, (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED))) == 1


def _ran(of: Job, state: AttemptState, started_ns: int, ended_ns: int) -> Attempt:
    return attempt(of, state=state, started_ns=started_ns, ended_ns=ended_ns)
