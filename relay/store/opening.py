"""From the config's `database:` section to an engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relay.storage import DatabaseConfig
from relay.store.bell import Bell
from relay.store.database import Engine
from relay.store.sqlite import SqliteEngine, sqlite_path


def open_database(config: DatabaseConfig) -> Engine:
    """The engine for that URL; nothing is opened yet."""
    url = config.url.get_secret_value()
    if config.kind == "sqlite":
        return SqliteEngine(sqlite_path(url))
    from relay.store.postgres import PostgresEngine  # its machinery costs a start 60 ms

    return PostgresEngine(url)


def open_bell(config: DatabaseConfig, on_ring: Callable[[frozenset[str]], None]) -> Bell:
    """What wakes the other relays on that database, and calls `on_ring` when they wake us."""
    if config.kind == "sqlite":
        return Bell(None, on_ring)
    from relay.store.postgres import open_line

    return Bell(partial(open_line, config.url.get_secret_value()), on_ring)
