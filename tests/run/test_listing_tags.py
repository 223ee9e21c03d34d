"""Lists by tags, on both databases: by whichever index they are read, they are the jobs that have the tags."""

from itertools import product
from random import Random

import pytest

from broker.model.jobs import JobState
from broker.model.query import JobFilter
from broker.run.store import SqlStore, listing
from broker.testing.store_values import NOW_NS, job


@pytest.mark.parametrize("many", [1, 10, 10**6])
def test_a_list_by_tags_is_the_same_by_every_index(store: SqlStore, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MANY", many)
    chosen = Random(1)
    made = [
        job(
            f"j{number}",
            user=chosen.choice(("ann", "bob")),
            name=chosen.choice("xy"),
            state=chosen.choice((JobState.QUEUED, JobState.FAILED)),
            submitted_ns=NOW_NS + number // 3,
            tags={key: chosen.choice("01") for key in ("a", "b", "c") if chosen.random() < 0.6},
        )
        for number in range(60)
    ]
    for each in made:
        store.add_jobs([each], "{}", "h")
    for user, name, tags in product(
        (None, "ann"), (None, "x"), ({"a": "1"}, {"a": "1", "b": "0"}, {"a": "1", "no": ""})
    ):
        expected = [
            each.id
            for each in reversed(made)
            if tags.items() <= each.spec.tags.items() and user in (None, each.user) and name in (None, each.spec.name)
        ]
        found: list[str] = []
        cursor = None
        while True:
            page = store.jobs(JobFilter(user=user, name=name, tags=tags, limit=4, cursor=cursor))
            found += [each.id for each in page.jobs]
            if (cursor := page.next_cursor) is None:
                break
        assert found == expected
