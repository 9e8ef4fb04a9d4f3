"""Statements that are compiled once, and how they are run: with values in order, by the driver where that is cheaper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Select, Table, Text, bindparam, insert, update

MOST_AT_ONCE = 64
_NO_DEFAULT = object()


def run(conn: Connection, sql: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
    """The rows that a statement returns, if any.

    SQLite's driver is asked itself, for SQLAlchemy's work on a statement costs a batch of webhooks a seventh. It raises
    `sqlite3.Error`, which `relay.store.sqlite` takes for what SQLAlchemy would have made of it.
    """
    if conn.dialect.name != "sqlite":
        answer = conn.exec_driver_sql(sql, values)
        return answer.fetchall() if answer.returns_rows else ()
    cursor = conn.connection.cursor()
    cursor.execute(sql, values)
    return cursor.fetchall()


def run_many(conn: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """A statement for each of the rows, as `run` does."""
    if conn.dialect.name == "sqlite":
        conn.connection.cursor().executemany(sql, rows)
    else:
        conn.exec_driver_sql(sql, list(rows))


@lru_cache(maxsize=256)
def picker(indexes: tuple[int, ...]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Those items of a tuple, as a tuple also if it is one."""
    if len(indexes) == 1:
        return itemgetter(slice(indexes[0], indexes[0] + 1))
    return itemgetter(*indexes)


def insert_rows(conn: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts many rows with few statements, which leave out the columns in which every row has the table's default.

    SQLite's driver gives the interpreter away at every step, and a busy event loop keeps it: one step for 64 rows is
    worth several times one for each. Sizes are powers of two, so that few statements are ever compiled. A value costs
    the driver as much as ten instructions of ours, one that is None or a flag many times that.
    """
    defaults = _defaults(table, names)
    columns = enumerate(zip(*rows, strict=True))
    picked = picker(tuple(index for index, column in columns if column.count(defaults[index]) < len(rows)))
    used, start, size = picked(names), 0, MOST_AT_ONCE
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        values = tuple(chain.from_iterable(map(picked, rows[start : start + size])))
        run(conn, _insert_sql(conn.dialect, table, used, size), values)
        start += size


@lru_cache
def _defaults(table: Table, names: tuple[str, ...]) -> tuple[Any, ...]:
    """What the table itself puts into columns that are not named; a value like no other where it has no default."""
    found: list[Any] = []
    for name in names:
        column = table.c[name]
        default: Any = column.server_default
        if default is None:
            found.append(None if column.nullable else _NO_DEFAULT)
        else:
            found.append(default.arg if isinstance(column.type, Text) else int(default.arg))
    return tuple(found)


@lru_cache(maxsize=256)
def select_sql(dialect: Dialect, statement: Select[Any], size: int) -> str:
    """Compiled once for so many keys: SQLAlchemy would write out the list of them anew for every batch."""
    compiled = statement.params(keys=range(size)).compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return str(compiled)


@lru_cache(maxsize=256)
def _insert_sql(dialect: Dialect, table: Table, names: tuple[str, ...], rows: int) -> str:
    """Compiled once: rows then go to the driver as they are, which halves what a batch costs."""
    values: list[dict[str, Any]] = [{name: bindparam(f"{name}_{row}") for name in names} for row in range(rows)]
    return str(insert(table).values(values).compile(dialect=dialect))


@lru_cache(maxsize=256)
def update_sql(dialect: Dialect, table: Table, names: tuple[str, ...], keys: tuple[str, ...]) -> str:
    statement = update(table).values({name: bindparam(f"row_{name}") for name in names})
    for name in keys:
        statement = statement.where(table.c[name] == bindparam(f"row_{name}"))
    return str(statement.compile(dialect=dialect))
