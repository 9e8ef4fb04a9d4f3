"""From the config's `database:` section to an engine."""

from __future__ import annotations

from relay.storage import DatabaseConfig
from relay.store.database import Engine
from relay.store.sqlite import SqliteEngine, sqlite_path


def open_database(config: DatabaseConfig) -> Engine:
    """The engine for that URL; nothing is opened yet."""
    url = config.url.get_secret_value()
    if config.kind == "sqlite":
        return SqliteEngine(sqlite_path(url))
    from relay.store.postgres import PostgresEngine  # its machinery costs a start 60 ms

    return PostgresEngine(url)
