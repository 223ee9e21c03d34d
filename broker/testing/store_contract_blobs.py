"""The promises of `broker.blob_store.BlobStore` as tests."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from broker.model.errors import Conflict, UnknownName
from broker.model.jobs import FunctionCall, JobSpec, JobState
from broker.model.money import NS_PER_S
from broker.model.placement import Verdict
from broker.model.query import JobFilter
from broker.model.submissions import Entry
from broker.ports import Store
from broker.testing.store_values import NOW_NS, attempt, change, job, placement

DAY_NS = 86_400 * NS_PER_S


class BlobsContract:
    """Small blobs are kept once, for as long as somebody wants them."""

    def test_blobs(self, store: Store) -> None:
        for _ in range(2):
            assert store.blob_bytes() in (0, 2)
            store.put_blob("ab", b"\x00\xff", NOW_NS)
        assert store.blob("ab") == b"\x00\xff"
        assert store.blob_bytes() == 2
        assert store.want_blob("ab", NOW_NS) and not store.want_blob("cd", NOW_NS)
        with pytest.raises(UnknownName, match="cd"):
            store.blob("cd")

    def test_what_nobody_has_wanted_for_long_is_dropped(self, store: Store) -> None:
        for name in ("old", "wanted", "put again", "used"):
            store.put_blob(name, b"x", NOW_NS)
        assert store.want_blob("wanted", NOW_NS + 3 * DAY_NS)
        store.put_blob("put again", b"x", NOW_NS + 3 * DAY_NS)
        assert store.drop_blobs(NOW_NS + 2 * DAY_NS, {"used"}) == 1
        left = [name for name in ("old", "wanted", "put again", "used") if store.want_blob(name, NOW_NS)]
        assert left == ["wanted", "put again", "used"]

    def test_those_of_jobs_that_have_not_ended_are_in_use(self, store: Store) -> None:
        call = FunctionCall(blob="aa", name="f", python="3.11", inputs="bb")
        over = job("over", spec=JobSpec(name="g", function=replace(call, blob="cc", inputs=None)))
        for one in (job("going", spec=JobSpec(name="f", function=call)), over, job("a-command")):
            store.add_jobs([one], "{}", one.id)
        assert store.blobs_in_use() == {"aa", "bb", "cc"}
        store.record(jobs=[replace(over, state=JobState.CANCELLED, ended_ns=NOW_NS)])
        assert store.blobs_in_use() == {"aa", "bb"}

    def test_a_job_comes_with_its_blobs_and_its_first_attempt_or_not_at_all(self, store: Store) -> None:
        new = job("call")
        entry = Entry(jobs=(new,), document="{}", document_hash="h", blobs=(("ab", b"arguments"),))
        first = attempt(new)
        moved = replace(new, state=JobState.STARTING, attempts=1)
        placed = placement(new, Verdict.RUN)
        refused = replace(first, job_id="nobody")
        with pytest.raises(UnknownName):
            store.begin(entry, job=moved, attempt=refused, change=change(new, "starting"), placement=placed)
        assert not store.jobs(JobFilter()).jobs and not store.want_blob("ab", NOW_NS)
        begin = partial(store.begin, job=moved, attempt=first, change=change(new, "starting"), placement=placed)
        assert begin(entry) == (new,)
        assert begin(entry) == (store.job("call"),), "a repeat finds it"
        recorded = store.recorded("call")
        assert (recorded.job.state, recorded.attempts) == (JobState.STARTING, (first,))
        assert len(recorded.placements) == len(store.changes("call")) == 1
        assert store.blob("ab") == b"arguments"
        with pytest.raises(Conflict):
            begin(replace(entry, document_hash="other"))
