"""Brings the tables to this version's shape; Alembic is only imported when there is something to do."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import Connection, text

from relay.store.database import StoreUnavailable
from relay.store.schema import metadata

HEAD = "0009"
"""The newest revision in `relay/migrations/versions`; a test compares."""
_LOCK = 0x52656C6179
"""Any number that only relays use: advisory locks belong to one database."""
COPYING = "copy"
"""A lease of this name marks a database that `relay copy-database` has not filled yet."""


def prepare(conn: Connection) -> None:
    """Makes a database fit for a relay. Raises `StoreUnavailable` for what it must not run on."""
    migrate(conn)
    if conn.execute(text("SELECT 1 FROM leases WHERE name = :name"), {"name": COPYING}).first():
        raise StoreUnavailable("only part of a state was copied into this database: run relay copy-database again")


def migrate(conn: Connection) -> None:
    """Upgrades to `HEAD`. Raises `StoreUnavailable` for a schema newer than this version knows."""
    _wait_for_others(conn)
    found = _revision(conn)
    if found == HEAD:
        return
    if found is None:
        _make_tables(conn)
        return
    if found > HEAD:
        raise StoreUnavailable(f"the database has schema {found}, newer than this version's {HEAD}: upgrade the relay")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "relay:migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, HEAD)


def _make_tables(conn: Connection) -> None:
    """An empty database gets its tables as they are now, not one change after the other; a test compares both ways."""
    metadata.create_all(conn)
    conn.execute(
        text(
            "CREATE TABLE alembic_version"
            " (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    conn.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})


def _wait_for_others(conn: Connection) -> None:
    """Of several relays that start at once one makes the tables, the others find them made. Lasts until the commit."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SET LOCAL lock_timeout = 0"))
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _revision(conn: Connection) -> str | None:
    if not sqlalchemy.inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
