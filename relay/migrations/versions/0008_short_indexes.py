"""SQLite finds alerts and groups by an index of the code alone: the rest of it only said what its one writer knows.

Revision ID: 0008
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for table in ("alerts", "alert_groups"):
            _rebuild(table)
            op.create_index(f"{table}_code", table, ["code"])


def _rebuild(table: str) -> None:
    """As SQLite's manual has it for what ALTER TABLE cannot do: a new table, the rows, the old name, the indexes."""
    query = sa.text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL")
    statements = {row.name: row.sql for row in op.get_bind().execute(query, {"table": table})}
    op.execute(_without_identity(table, statements.pop(table)))
    op.execute(f"INSERT INTO {table}_new SELECT * FROM {table}")  # noqa: S608  names of our own
    op.execute(f"DROP TABLE {table}")
    op.execute(f"ALTER TABLE {table}_new RENAME TO {table}")
    for index in statements.values():
        op.execute(index)


def _without_identity(table: str, sql: str) -> str:
    sql, constraints = re.subn(rf",\s*CONSTRAINT {table}_identity UNIQUE \([^)]*\)", "", sql)
    sql, names = re.subn(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {table}_new", sql)
    if (constraints, names) != (1, 1):
        raise RuntimeError(f"this table was not made by the relay: {sql}")
    return sql
