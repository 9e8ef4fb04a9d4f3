"""PostgreSQL for several replicas: the same functions, run over asyncpg, and the line on which replicas wake each other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from relay.store.bell import NAME, Line
from relay.store.database import StoreUnavailable
from relay.store.migrate import prepare

T = TypeVar("T")
RETRIES = 3
POOL = 5
CONNECT_WITHIN = 5.0
COMMAND_WITHIN = 20.0
"""Seconds. A statement of the largest message takes one; what takes longer waits for a server that is gone."""
_FROZEN = "idle_in_transaction_session_timeout"
_SETTINGS = {
    "application_name": "alertmanager-relay",
    _FROZEN: "15s",  # a replica that is frozen within a transaction must not keep its locks
    "lock_timeout": "10s",
    "jit": "off",  # compiles for longer than our statements run
}
_CONFLICTS = {"40001", "40P01", "55P03", "0A000"}
"""Serialization failure, deadlock, lock timeout, a plan from before a migration: all is read and done again."""
_AT_FAULT = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58", "XX")
"""SQLSTATEs, or their first letters, that speak of the server and not of the statement."""
_GONE = (
    OSError, TimeoutError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError,
)  # fmt: skip
"""What may come instead of a connection."""


class PostgresEngine:
    """Owns the connection pool. `url` is a libpq address: several hosts, `sslmode` and so on mean what they mean there."""

    kind = "postgresql"
    one_writer = False

    def __init__(self, url: str, *, prepare: Callable[[Connection], None] = prepare) -> None:
        self._url = url
        self._prepare = prepare
        self._engine: AsyncEngine | None = None
        self._reader: AsyncEngine | None = None

    async def open(self) -> None:
        setup = create_async_engine(
            "postgresql+asyncpg://", async_creator=partial(_connect, self._url, None), poolclass=NullPool
        )
        try:
            await self._transact(setup, self._prepare)
        finally:
            await setup.dispose()
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=partial(_connect, self._url, COMMAND_WITHIN),
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=10,
        )
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")  # all of one moment

    async def write(self, work: Callable[[Connection], T]) -> T:
        for left in reversed(range(RETRIES + 1)):
            try:
                return await self._transact(self._engine, work)
            except DBAPIError as error:
                if not _conflict(error):
                    raise
                if not left and not isinstance(error, IntegrityError):
                    raise StoreUnavailable(f"PostgreSQL at {_where(self._url)}: others were in the way") from error
                if not left:
                    raise
                await asyncio.sleep(random.uniform(0, 0.02))
        raise AssertionError("unreachable")

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._transact(self._reader, work)

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = self._reader = None

    async def _transact(self, engine: AsyncEngine | None, work: Callable[[Connection], T]) -> T:
        assert engine is not None
        try:
            async with engine.begin() as conn:
                return await conn.run_sync(work)
        except DBAPIError as error:
            if _at_fault(error) and not _conflict(error):
                raise StoreUnavailable(f"PostgreSQL at {_where(self._url)}: {_reason(error)}") from error
            raise
        except _GONE as error:
            raise StoreUnavailable(f"PostgreSQL at {_where(self._url)}: {_text(error)}") from error


async def open_line(url: str, heard: Callable[[str], None]) -> Line:
    """A connection of its own for notifications."""
    try:
        connection = await _connect(url, CONNECT_WITHIN)
        await connection.add_listener(NAME, _Ear(connection.get_server_pid(), heard))
    except _GONE as error:
        raise StoreUnavailable(f"PostgreSQL at {_where(url)}: {_text(error)}") from error
    return _Line(connection, url)


class _Ear:
    """Passes on what other connections said."""

    def __init__(self, own: int, heard: Callable[[str], None]) -> None:
        self._own = own
        self._heard = heard

    def __call__(self, _connection: object, pid: int, _channel: str, payload: str) -> None:
        if pid != self._own:
            self._heard(payload)


class _Line:
    def __init__(self, connection: Any, url: str) -> None:
        self._connection = connection
        self._url = url

    async def send(self, payload: str | None) -> None:
        try:
            if payload is None:
                await self._connection.execute("SELECT 1")
            else:
                await self._connection.execute("SELECT pg_notify($1, $2)", NAME, payload)
        except _GONE as error:
            raise StoreUnavailable(f"PostgreSQL at {_where(self._url)}: {_text(error)}") from error

    async def close(self) -> None:
        try:
            await self._connection.close(timeout=1)
        except _GONE:
            self._connection.terminate()


async def _connect(url: str, command_within: float | None) -> Any:
    """A connection with sessions of its own. Raises `StoreUnavailable` for a pooler, and asyncpg's errors."""
    try:
        connection = await asyncpg.connect(
            url, timeout=CONNECT_WITHIN, command_timeout=command_within, server_settings=_SETTINGS
        )
    except asyncpg.PostgresError as error:
        if "startup parameter" in str(error):
            raise _pooled(url) from error
        raise
    if connection.get_settings().application_name != _SETTINGS["application_name"] or (
        await connection.fetchval(f"SHOW {_FROZEN}") != _SETTINGS[_FROZEN]
    ):
        await connection.close(timeout=1)
        raise _pooled(url)
    return connection


def _pooled(url: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"{_where(url)} is a connection pooler (PgBouncer?) and no PostgreSQL: it keeps no settings, no prepared statements "
        f"and no notifications of a session. Give the address of the server itself: a relay needs only {POOL + 1} connections"
    )


def _where(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _conflict(error: DBAPIError) -> bool:
    """Two replicas in each other's way: the whole change is read and done again."""
    return isinstance(error, IntegrityError) or _sqlstate(error) in _CONFLICTS


def _at_fault(error: DBAPIError) -> bool:
    """Whether it is the server (gone, full, read-only), not the statement."""
    gone = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return gone or _sqlstate(error).startswith(_AT_FAULT)


def _reason(error: DBAPIError) -> str:
    return _text(error.orig.__cause__ if error.orig is not None and error.orig.__cause__ is not None else error.orig)


def _text(error: BaseException | None) -> str:
    """The kind of the error and its first line; none of them quotes the address with its password."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
