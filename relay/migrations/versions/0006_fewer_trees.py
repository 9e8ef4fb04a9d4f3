"""Fewer trees for an insert to write: SQLite's rows get their own keys, and an alert's code finds it by itself.

Revision ID: 0006
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

IDENTITIES: Mapping[str, tuple[str, ...]] = {
    "alerts": ("fingerprint", "alertmanager"),
    "alert_groups": ("key_hash", "receiver", "alertmanager"),
}
"""Unique by these until now, beside an index of the code alone; the code is made of them, so that one index does for both."""
KEYED_BY_ID = ("alerts", "alert_groups", "episodes", "incidents", "posts", "history", "digests", "mirrors")
RARELY_SET = {"alerts_flapping": "flapping_until", "posts_digest": "digest_id"}


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _rebuild_tables()
    else:
        _replace_indexes()


def _replace_indexes() -> None:
    for table, identity in IDENTITIES.items():
        op.drop_constraint(f"{table}_identity", table)
        op.create_unique_constraint(f"{table}_identity", table, ["code", *identity])
        op.drop_index(f"{table}_code", table)


def _rebuild_tables() -> None:
    """As SQLite's manual has it for what ALTER TABLE cannot do: a new table, the rows, the old name, the indexes."""
    for table in (*KEYED_BY_ID, "memberships"):
        statements = _statements(table)
        op.execute(_new_table(table, statements.pop(table)))
        op.execute(f"INSERT INTO {table}_new SELECT * FROM {table}")  # noqa: S608  names of our own
        op.execute(f"DROP TABLE {table}")
        op.execute(f"ALTER TABLE {table}_new RENAME TO {table}")
        for index, sql in statements.items():
            if index != f"{table}_code":
                rare = RARELY_SET.get(index)
                op.execute(f"{sql} WHERE {rare} IS NOT NULL" if rare else sql)


def _statements(table: str) -> dict[str, str]:
    """What made the table and its indexes, by name."""
    query = sa.text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL")
    return {row.name: row.sql for row in op.get_bind().execute(query, {"table": table})}


def _new_table(table: str, sql: str) -> str:
    sql = _replaced(sql, f"CREATE TABLE {table}", f"CREATE TABLE {table}_new")
    if table == "memberships":
        return f"{sql} WITHOUT ROWID"
    key = "episode_id" if table == "mirrors" else "id"
    sql = _replaced(sql, f"{key} BIGINT NOT NULL", f"{key} INTEGER NOT NULL")
    if table in IDENTITIES:
        identity = ", ".join(IDENTITIES[table])
        sql = _replaced(sql, f"UNIQUE ({identity})", f"UNIQUE (code, {identity})")
    return sql


def _replaced(sql: str, old: str, new: str) -> str:
    changed, times = re.subn(rf"(?<!\w){re.escape(old)}", new, sql)
    if times != 1:
        raise RuntimeError(f"this table was not made by the relay, {old!r} is {times} times in it: {sql}")
    return changed
