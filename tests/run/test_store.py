"""The store's contract, on both databases."""

from collections.abc import Iterator

import pytest

from broker.run.store import SqlStore, open_store
from broker.testing.store_contract import StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, sqlite_url: str) -> Iterator[SqlStore]:
        opened = open_store(sqlite_url)
        yield opened
        opened.close()


class TestPostgresql(StoreContract):
    @pytest.fixture
    def store(self, postgresql_url: str) -> Iterator[SqlStore]:
        opened = open_store(postgresql_url)
        yield opened
        opened.close()
