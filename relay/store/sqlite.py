"""The embedded database: WAL, one writer thread, readers beside it, and a lock so that two processes never share a file."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from relay.store.database import StoreUnavailable, unavailable
from relay.store.migrate import prepare

T = TypeVar("T")
READERS = 2


class SqliteEngine:
    """Owns the file, its lock, the writer thread and the readers."""

    kind = "sqlite"
    one_writer = True

    def __init__(self, path: str | Path, *, prepare: Callable[[Connection], None] = prepare) -> None:
        self._path = Path(path)
        self._prepare = prepare
        self._engine: sqlalchemy.Engine | None = None
        self._identity: tuple[int, int] | None = None
        self._lock: IO[str] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._open)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._transact, work, True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._transact, work, False)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._dispose)
        self._readers.shutdown()
        self._writer.shutdown()
        if self._lock is not None:
            self._lock.close()

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            engine = _make_engine(self._path)
            with engine.connect().execution_options(relay_write=True) as conn, conn.begin():
                self._prepare(conn)
            self._engine, self._identity = engine, self._look()
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from error
        except DBAPIError as error:
            raise StoreUnavailable(f"{self._path}: {error.orig}") from error

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = self._path.with_name(self._path.name + ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise StoreUnavailable(
                f"{self._path} is in use by another relay; use PostgreSQL for several replicas"
            ) from None
        self._lock = lock

    def _look(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_dev, found.st_ino

    def _transact(self, work: Callable[[Connection], T], write: bool) -> T:  # noqa: FBT001  called through an executor
        try:
            if self._engine is None or self._look() != self._identity:
                self._reopen()
            assert self._engine is not None
            with self._engine.connect().execution_options(relay_write=write) as conn, conn.begin():
                return work(conn)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from error
        except DBAPIError as error:
            if unavailable(error) or (isinstance(error.orig, sqlite3.DatabaseError) and "malformed" in str(error.orig)):
                raise StoreUnavailable(f"{self._path}: {error.orig}") from error
            raise

    def _reopen(self) -> None:
        """The file was replaced or went away: SQLite would go on writing to what nobody can find any more."""
        self._look()  # still away: OSError, and we come again with the next change
        self._dispose()
        self._open()

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _make_engine(path: Path) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=READERS + 1,
        max_overflow=0,
        connect_args={"timeout": 5, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, by us
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA cache_size=-32768")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        write = conn.get_execution_options().get("relay_write", True)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def sqlite_path(url: str) -> str:
    """The file of `sqlite:///relative.db` or `sqlite:////absolute.db`."""
    return os.fspath(url.removeprefix("sqlite:///"))
