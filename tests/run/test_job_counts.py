"""Jobs by state, on both databases: the sums that are kept are what counting all jobs comes to, whatever happens."""

from collections import Counter
from dataclasses import replace
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from broker.model.errors import Conflict
from broker.model.jobs import JOB_MOVES, Job, JobState
from broker.run.store import SqlStore
from broker.run.store.tables import jobs
from broker.testing.store_values import array, job

_numbers = count()


def really(store: SqlStore) -> Counter[JobState]:
    with store._read() as connection:
        return Counter(JobState(state) for state in connection.execute(select(jobs.c.state)).scalars())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(JobState)), max_size=25))
def test_the_sums_are_what_there_is(store: SqlStore, steps: list[tuple[int, JobState]]) -> None:
    """Submissions, again and refused ones too, and moves, of which many are illegal and change nothing."""
    name = f"a{next(_numbers)}"
    known: dict[int, Job] = dict(enumerate(store.add_jobs(array(name, 10), "{}", "h")))
    for number, state in steps:
        moved = replace(known[number], state=state)
        try:
            store.record(jobs=[moved])
        except Conflict:
            assert state not in JOB_MOVES[known[number].state]
            store.add_jobs(list(known.values()), "{}", "h")
            continue
        known[number] = moved
    store.add_jobs([job(f"{name}-alone", state=JobState.FAILED)], "{}", "h")
    assert Counter(dict(store.counts())) == really(store)
