"""Copies a whole state from one database to another, SQLite or PostgreSQL, while no relay runs on either.

An interrupted copy goes on where it stopped: until it is whole, a mark in the target tells where it comes from, and
keeps every relay from starting on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, Table, delete, func, insert, select, tuple_

from relay.clock import system_clock
from relay.store.database import Engine
from relay.store.leases import REPLICA, database_now
from relay.store.migrate import COPYING
from relay.store.schema import leases, metadata

CHUNK = 1000
TABLES = tuple(table for table in metadata.sorted_tables if table is not leases)
"""Leases are worth nothing in another database."""


class CopyRefused(Exception):
    """Why nothing was copied (any more); for the person who asked for it."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows each table has, now that source and target agree."""

    rows: Mapping[str, int]


async def copy_database(source: Engine, target: Engine, on_rows: Callable[[str, int], None]) -> Copied:
    """Copies everything; both engines are open. `on_rows` is told a table and how many rows it got this time.

    Raises `CopyRefused`, and `StoreUnavailable` when a database goes away: then do the same again.
    """
    stamp = await source.read(_stamp)
    await _begin(target, stamp)
    for table in TABLES:
        await _copy_table(source, target, table, on_rows)
    if await source.read(_stamp) != stamp:
        raise CopyRefused("a relay ran on the source meanwhile: stop it, empty the target, and copy again")
    there, here = await source.read(_count), await target.read(_count)
    different = [name for name in there if there[name] != here[name]]
    if different:
        raise CopyRefused(f"source and target differ in {', '.join(different)}: empty the target, and copy again")
    await target.write(lambda conn: conn.execute(delete(leases).where(leases.c.name == COPYING)))
    return Copied(here)


async def _begin(target: Engine, stamp: str) -> None:
    await target.read(_refuse_running)
    rows = await target.read(_count)
    mark = await target.read(lambda conn: conn.execute(select(leases.c.owner).where(leases.c.name == COPYING)).scalar())
    if mark is None and any(rows.values()):
        raise CopyRefused("the target is not empty")
    if mark is not None and mark != stamp:
        raise CopyRefused("the target holds part of another copy, or a relay ran on the source since: empty the target")
    if mark is None:
        await target.write(lambda conn: conn.execute(insert(leases).values(name=COPYING, owner=stamp, until=0)))


async def _copy_table(source: Engine, target: Engine, table: Table, on_rows: Callable[[str, int], None]) -> None:
    keys = list(table.primary_key.columns)
    if all(isinstance(key.type, BigInteger) for key in keys):
        last = await target.read(partial(_last_key, table=table))
    else:  # texts are ordered differently from server to server; these tables are small
        await target.write(lambda conn: conn.execute(delete(table)))
        last = None
    while True:
        statement = select(table).order_by(*keys).limit(CHUNK)
        if last is not None:
            statement = statement.where(tuple_(*keys) > tuple_(*last))
        rows = await source.read(partial(_rows, statement=statement))
        if not rows:
            return
        await target.write(partial(_insert, table=table, rows=rows))
        on_rows(table.name, len(rows))
        last = tuple(rows[-1][key.name] for key in keys)


def _last_key(conn: Connection, *, table: Table) -> tuple[Any, ...] | None:
    keys = list(table.primary_key.columns)
    row = conn.execute(select(*keys).order_by(*(key.desc() for key in keys)).limit(1)).first()
    return None if row is None else tuple(row)


def _rows(conn: Connection, *, statement: Select[Any]) -> list[dict[str, Any]]:
    return [row._asdict() for row in conn.execute(statement)]


def _insert(conn: Connection, *, table: Table, rows: list[dict[str, Any]]) -> None:
    conn.execute(insert(table), rows)


def _count(conn: Connection) -> dict[str, int]:
    return {table.name: conn.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES}


def _stamp(conn: Connection) -> str:
    """Another one as soon as a relay ran on this database: it would have touched its leases."""
    _refuse_running(conn)
    rows = [tuple(row) for row in conn.execute(select(leases).order_by(leases.c.name))]
    if any(name == COPYING for name, *_ in rows):
        raise CopyRefused("the source itself is only part of a copy")
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _refuse_running(conn: Connection) -> None:
    """The embedded database is locked by whoever opened it; PostgreSQL's relays show in their leases."""
    now = database_now(conn, system_clock)
    running = select(leases.c.name).where(leases.c.name.startswith(REPLICA), leases.c.until >= now)
    if conn.dialect.name == "postgresql" and conn.execute(running).first():
        raise CopyRefused("a relay runs on one of the databases, or was killed less than 10 seconds ago: stop it first")
