"""What is sent together on PostgreSQL: all or none, with the error that it would have raised alone."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from broker.run.store.engine import connect
from broker.run.store.job_counts import job_counts
from broker.run.store.together import answered, together


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_what_is_wrong_with_one_of_them_is_raised_and_none_is_stored(wrong: int, postgresql_url: str) -> None:
    engine = connect(postgresql_url)
    parts = [100, 101, 102]

    def store(connection: Connection, parts: Sequence[int]) -> None:
        together(connection)
        for part in parts:
            connection.execute(insert(job_counts).inline().values(state="queued", part=part, jobs=1))

    def stored(connection: Connection) -> set[int]:
        return set(connection.execute(select(job_counts.c.part).where(job_counts.c.part >= parts[0])).scalars())

    with engine.begin() as connection, answered(connection):
        store(connection, [200])
    with pytest.raises(IntegrityError), engine.begin() as connection, answered(connection):
        store(connection, [200 if place == wrong else part for place, part in enumerate(parts)])
    with engine.begin() as connection, answered(connection):
        assert stored(connection) == {200}
        store(connection, parts)
    with engine.begin() as connection:
        assert stored(connection) == {200, *parts}
    engine.dispose()
