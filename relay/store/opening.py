"""From the config's `database:` section to an engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relay.storage import DatabaseConfig
from relay.store.bell import Bell
from relay.store.database import Connection, Engine
from relay.store.migrate import prepare
from relay.store.sqlite import SqliteEngine, sqlite_path


def open_database(config: DatabaseConfig, *, prepare: Callable[[Connection], None] = prepare) -> Engine:
    """The engine for that URL; nothing is opened yet. `prepare` brings the tables into shape when it is."""
    url = config.url.get_secret_value()
    if config.kind == "sqlite":
        return SqliteEngine(sqlite_path(url), prepare=prepare)
    from relay.store.postgres import PostgresEngine  # its machinery costs a start 60 ms

    return PostgresEngine(url, prepare=prepare)


def open_bell(config: DatabaseConfig, on_ring: Callable[[frozenset[str]], None]) -> Bell:
    """What wakes the other relays on that database, and calls `on_ring` when they wake us."""
    if config.kind == "sqlite":
        return Bell(None, on_ring)
    from relay.store.postgres import open_line

    return Bell(partial(open_line, config.url.get_secret_value()), on_ring)
