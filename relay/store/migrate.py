"""Brings the tables to this version's shape; Alembic is only imported when there is something to do."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import Connection, text

from relay.store.database import StoreUnavailable

HEAD = "0002"
"""The newest revision in `relay/migrations/versions`; a test compares."""


def migrate(conn: Connection) -> None:
    """Upgrades to `HEAD`. Raises `StoreUnavailable` for a schema newer than this version knows."""
    found = _revision(conn)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise StoreUnavailable(f"the database has schema {found}, newer than this version's {HEAD}: upgrade the relay")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "relay:migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, HEAD)
    if conn.in_transaction():
        conn.commit()


def _revision(conn: Connection) -> str | None:
    if not sqlalchemy.inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
