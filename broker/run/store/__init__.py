"""The store: jobs, their history, usage and charges in SQLite or PostgreSQL. The only SQL of the broker is here."""

from broker.run.store.sql_store import SqlStore, open_store

__all__ = ["SqlStore", "open_store"]
