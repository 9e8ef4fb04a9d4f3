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

from relay.store.database import StoreUnavailable
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
        self._engines: _Engines | None = None
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
            engines = _Engines(self._path)
            with engines.writing.begin() as conn:
                self._prepare(conn)
            self._engines, self._identity = engines, self._look()
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
            if self._engines is None or self._look() != self._identity:
                self._reopen()
            assert self._engines is not None
            with (self._engines.writing if write else self._engines.reading).begin() as conn:
                return work(conn)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from error
        except (DBAPIError, sqlite3.Error) as error:
            if _at_fault(error):
                raise StoreUnavailable(f"{self._path}: {_cause(error)}") from error
            raise

    def _reopen(self) -> None:
        """The file was replaced or went away: SQLite would go on writing to what nobody can find any more."""
        self._look()  # still away: OSError, and we come again with the next change
        self._dispose()
        self._open()

    def _dispose(self) -> None:
        if self._engines is not None:
            self._engines.dispose()
            self._engines = None


def _at_fault(error: DBAPIError | sqlite3.Error) -> bool:
    """Whether it is the file (gone, locked, full, read-only, broken), not the statement."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.OperationalError | sqlite3.InterfaceError):
        return True
    return "malformed" in str(cause) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _cause(error: DBAPIError | sqlite3.Error) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


class _Engines:
    """The writer has one connection for itself: SQLite forgets the pages it knows whenever another one has written."""

    def __init__(self, path: Path) -> None:
        self.writing = _make_engine(path, connections=1, begin="BEGIN IMMEDIATE")
        self.reading = _make_engine(path, connections=READERS, begin="BEGIN")

    def dispose(self) -> None:
        self.writing.dispose()
        self.reading.dispose()


def _make_engine(path: Path, *, connections: int, begin: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"timeout": 5, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, by us
        cursor = connection.cursor()
        cursor.execute("PRAGMA page_size=2048")  # of a new file: codes stand at random, each new one writes a page
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA cache_size=-4096")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def sqlite_path(url: str) -> str:
    """The file of `sqlite:///relative.db` or `sqlite:////absolute.db`."""
    return os.fspath(url.removeprefix("sqlite:///"))
