"""Opening a store, its schema, and what it says when it can't work."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError

from broker.model.errors import StoreError
from broker.model.jobs import JobState
from broker.model.money import Money
from broker.model.query import JobFilter, SpendFilter
from broker.model.volumes import Access
from broker.run.store import SqlStore, open_store
from broker.run.store import engine as engine_module
from broker.run.store.engine import SCHEMA, connect
from broker.run.store.spend_days import spend_days
from broker.run.store.tables import metadata
from broker.testing.store_contract_foresight import NODES, OUTLOOK
from broker.testing.store_values import NOW_NS, array, attempt, change, charge, job, report

MIGRATIONS = Path(engine_module.__file__).parent.parent / "migrations"


def execute(url: str, statement: str) -> None:
    engine = connect(url)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def test_migrations_make_the_tables_that_the_code_uses(url: str) -> None:
    engine = connect(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [SCHEMA]


def test_a_store_of_today_opens_without_alembic(sqlite_url: str) -> None:
    opens = f"from broker.run.store import open_store; open_store({sqlite_url!r})"
    code = f"{opens}; import sys; print('alembic' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_what_was_stored_is_there_after_opening_again(url: str) -> None:
    first = open_store(url)
    first.add_jobs([job("a")], "{}", "h")
    first.close()
    with closing(open_store(url)) as again:
        assert again.job("a") == job("a")


def earlier(folder: Path, revision: str, row: str) -> str:
    """A store as a broker of an earlier version left it; its URL."""
    url = f"sqlite:///{folder / 'earlier.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, revision)
        connection.execute(text(row))
    engine.dispose()
    return url


def test_volumes_of_before_are_everybody_s_to_read_and_to_write(tmp_path: Path) -> None:
    url = earlier(tmp_path, "0016", "INSERT INTO volumes VALUES ('data', 'local', 'mia', 5)")
    with closing(open_store(url)) as store:
        (volume,) = store.volumes()
        assert [volume.access(project) for project in ("default", "vision")] == [Access.WRITE, Access.WRITE]
        store.add_volume(replace(volume, name="new", shares={}))
        assert store.volume("new").access("vision") is None


def test_a_store_of_an_earlier_version_is_brought_up_to_date_with_what_it_has(tmp_path: Path) -> None:
    url = earlier(tmp_path, "0001", "INSERT INTO watermarks VALUES ('home', 7)")
    with closing(open_store(url)) as store:
        store.keep_outlook(OUTLOOK)
        assert (store.watermark("home"), store.last_outlook("home")) == (7, OUTLOOK)


def test_what_was_charged_before_sums_by_day_were_kept_is_in_them(store: SqlStore, url: str) -> None:
    a = job("a")
    store.add_jobs([a], "{}", "h")
    store.record(attempts=[attempt(a, 1)])
    charges = [charge("k1", 1, 5, attempt_id="a-a1"), charge("k2", 2, None), charge("k3", 10**15, 7, attempt_id="a-a1")]
    store.settle("home", report(NOW_NS), charges)
    wanted = [SpendFilter(by=by, user=user) for by in (("day",), ("pool", "user")) for user in (None, "ann")]
    before = [store.spend(each) for each in wanted]
    assert sum(row.total.nanodollars for row in before[0]) == 12
    made = next(each for each in ScriptDirectory(str(MIGRATIONS)).walk_revisions() if "spend_days" in each.path)
    execute(url, "DELETE FROM spend_days")
    assert store.spend(wanted[0]) == ()
    columns = ", ".join(f'"{column.name}"' for column in spend_days.columns if column.name != "predicted_usd")
    execute(url, made.module.COUNT_IN.replace("spend_days", f"spend_days ({columns})", 1))
    assert [store.spend(each) for each in wanted] == before


def test_what_arrays_had_cost_before_is_in_their_lines(store: SqlStore, url: str) -> None:
    tasks = array("ar", 2)
    store.add_jobs(tasks, "{}", "h")
    store.record(attempts=[attempt(each, 1) for each in tasks])
    charges = [charge("k1", 1, 5, attempt_id="ar.0-a1"), charge("k2", 2, None, attempt_id="ar.1-a1")]
    store.settle("home", report(NOW_NS), charges)
    before = store.jobs(JobFilter(), collapse=True).arrays
    assert (before[0].known, before[0].unpriced) == (Money(5), 1)
    made = next(each for each in ScriptDirectory(str(MIGRATIONS)).walk_revisions() if "array_costs" in each.path)
    execute(url, "DELETE FROM array_costs")
    assert store.jobs(JobFilter(), collapse=True).arrays != before
    execute(url, made.module.COUNT_IN)
    assert store.jobs(JobFilter(), collapse=True).arrays == before


def test_jobs_of_before_are_counted_in_as_those_since(url: str, store: SqlStore) -> None:
    a, *_ = store.add_jobs(array("ar", 3), "{}", "h")
    store.record(jobs=[replace(a, state=JobState.FAILED)])
    before = store.counts()
    made = next(each for each in ScriptDirectory(str(MIGRATIONS)).walk_revisions() if "job_counts" in each.path)
    execute(url, "DELETE FROM job_counts")
    assert not any(store.counts().values())
    execute(url, made.module.COUNT_IN)
    assert store.counts() == before == {**dict.fromkeys(JobState, 0), JobState.QUEUED: 2, JobState.FAILED: 1}


def test_a_newer_schema_is_refused(url: str) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=rf"its schema is 9999, this broker knows up to {SCHEMA}: upgrade"):
        open_store(url)


@pytest.mark.parametrize("statement", ["UPDATE {} SET seq = 9", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["changes", "charges", "outlooks", "decisions"])
def test_history_and_charges_are_only_ever_appended(store: SqlStore, url: str, table: str, statement: str) -> None:
    store.add_jobs([job("a")], "{}", "h")
    store.record(changes=[change(job("a"), "running")])
    store.settle("home", report(NOW_NS), [charge("k", 1, 5)])
    store.keep_outlook(OUTLOOK)
    store.keep_decisions([NODES])
    with pytest.raises(DBAPIError, match=f"{table} are only ever appended"):
        execute(url, statement.format(table))
    assert (len(store.changes("a")), len(store.charges(pool="home"))) == (1, 1)


def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/new.db")):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def test_a_store_in_memory_keeps_what_it_has() -> None:
    with closing(open_store("sqlite://")) as store:
        store.add_jobs([job("a")], "{}", "h")
        assert store.job("a") == job("a")


def missing_folder(path: Path) -> str:
    return f"sqlite:///{path}/none/store.db"


def no_database(path: Path) -> str:
    (path / "notes.txt").write_text("dear diary, " * 100)
    return f"sqlite:///{path}/notes.txt"


def a_folder(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing_folder, "it is not there: check the path"),
        (no_database, "the file is not a store"),
        (a_folder, "this is a folder: name a file in it"),
        (lambda _: "mysql://me@db/x", "can't be kept in mysql"),
        (lambda _: "store.db", "the store's URL can't be read"),
        (lambda _: "oracle9://x", "can't be kept in oracle9"),
        (lambda _: "postgresql://me:s3cret@127.0.0.1:9/x", "it does not answer"),
        (lambda _: "postgresql://me:s3cret@127.0.0.1:9/x?passfile=s3cret", "it does not answer"),
        (lambda folder: f"postgresql://me:s3cret@/x?host={folder}", "it does not answer"),
    ],
)
def test_a_store_that_can_t_be_opened_says_why_and_what_to_do(
    tmp_path: Path, make: Callable[[Path], str], says: str
) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(make(tmp_path))
    assert says in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "SELECT" not in str(refused.value)


def test_a_database_that_does_not_exist_is_named(postgresql_url: str) -> None:
    with pytest.raises(StoreError, match=r"nowhere.*it does not exist: create the database"):
        open_store(postgresql_url.replace("/store_", "/nowhere_"))


def limited(store: SqlStore, pragma: str) -> None:
    """Sets a pragma on all connections of a store from now on."""
    store.close()
    event.listen(store._engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {pragma}"))


def test_a_full_disk(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        store.add_jobs([job("a")], "{}", "h")
        limited(store, "max_page_count=1")
        with pytest.raises(StoreError, match=r"store sqlite.*store\.db: the disk is full: free space there"):
            store.put_blob("ab", b"x" * 1_000_000, 0)
        assert store.job("a") == job("a")


def test_a_store_that_another_process_locks(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store, closing(sqlite3.connect(make_path(sqlite_url))) as other:
        limited(store, "busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process keeps it locked"):
            store.put_blob("ab", b"x", 0)
        assert store.counts()
        other.rollback()
        store.put_blob("ab", b"x", 0)


def test_a_damaged_file(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        store.put_blob("ab", b"x" * 100_000, 0)
    path = make_path(sqlite_url)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(StoreError, match=r"damaged|not a store"), closing(open_store(sqlite_url)) as store:
        store.blob("ab")


@pytest.mark.parametrize("asked_after_s", [0.0, 60.0])
def test_a_server_that_went_away(postgresql_url: str, asked_after_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether each connection is asked, or only one that has said something, as it does at its end."""
    monkeypatch.setattr(engine_module, "_LIVES_S", asked_after_s)
    with closing(open_store(postgresql_url)) as store:
        killer = create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"))
        with killer.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
        killer.dispose()
        assert store.counts(), "a lost connection is replaced"


def test_two_processes_may_write_at_once(url: str) -> None:
    def write(number: int) -> None:
        with closing(open_store(url)) as store:
            for step in range(25):
                one = job(f"j{number}-{step}")
                store.add_jobs([one], "{}", "h")
                store.record(jobs=[replace(one, state=JobState.RUNNING)], changes=[change(one, "running")])

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    with closing(open_store(url)) as store:
        assert store.counts()[JobState.RUNNING] == 100


def make_path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


QUESTIONS: dict[str, tuple[Callable[[SqlStore], Any], str]] = {
    "placeable": (lambda store: store.placeable(5, 10), "USING INDEX jobs_placeable"),
    "lane": (lambda store: store.lane("p", 5, 10, frozenset(), frozenset("a")), "INDEX jobs_placeable_by_project"),
    "skipping": (lambda store: store.placeable(5, 10, frozenset("x")), "USING INDEX jobs_placeable"),
    "next_due_ns": (lambda store: store.next_due_ns(5), "USING INDEX jobs_delayed"),
    "cancel_requested": (lambda store: store.cancel_requested(5), "USING INDEX jobs_cancelling"),
    "counts": (lambda store: store.counts(), "SCAN job_counts USING INDEX"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_of_the_dispatcher_reads_one_index_and_sorts_nothing(sqlite_url: str, question: str) -> None:
    ask, expected = QUESTIONS[question]
    plans: list[str] = []
    with closing(open_store(sqlite_url)) as store:

        @event.listens_for(store._engine, "before_cursor_execute")
        def explain(connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            if statement.startswith("SELECT"):
                raw = connection.connection.driver_connection
                plans.extend(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values))

        ask(store)
    assert len(plans) == 1, plans
    assert expected in plans[0]


def test_a_long_array_takes_no_longer_to_collapse_than_a_short_one(sqlite_url: str) -> None:
    statements = 0
    with closing(open_store(sqlite_url)) as store:
        store.add_jobs([job("old", submitted_ns=NOW_NS - 1)], "{}", "h")
        store.add_jobs(array("ar", 5_000), "{}", "h")

        @event.listens_for(store._engine, "before_cursor_execute")
        def count(*_: Any) -> None:
            nonlocal statements
            statements += 1

        page = store.jobs(JobFilter(limit=10), collapse=True)
    assert ([one.array_id for one in page.arrays], [one.id for one in page.jobs]) == (["ar"], ["old"])
    assert statements < 10
