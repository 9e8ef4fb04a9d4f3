"""PostgreSQL for several replicas: the same functions, run over asyncpg."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from relay.store.database import StoreUnavailable, unavailable
from relay.store.migrate import migrate

T = TypeVar("T")
RETRIES = 3
_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock


class PostgresEngine:
    """Owns the connection pool. `url` is `postgresql://user:password@host/name`."""

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+asyncpg")
        self._engine: AsyncEngine | None = None

    async def open(self) -> None:
        self._engine = create_async_engine(
            self._url, pool_size=4, max_overflow=0, pool_timeout=10, connect_args={"timeout": 5, "command_timeout": 30}
        )
        await self.write(migrate)

    async def write(self, work: Callable[[Connection], T]) -> T:
        for left in reversed(range(RETRIES)):
            try:
                return await self._transact(work)
            except DBAPIError as error:
                if not left or not _conflict(error):
                    raise
        raise AssertionError("unreachable")

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._transact(work)

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def _transact(self, work: Callable[[Connection], T]) -> T:
        assert self._engine is not None
        try:
            async with self._engine.begin() as conn:
                return await conn.run_sync(work)
        except (OSError, TimeoutError, PoolTimeout) as error:
            raise StoreUnavailable(f"PostgreSQL at {self._url.host}: {type(error).__name__}") from error
        except DBAPIError as error:
            if unavailable(error) and not _conflict(error):
                raise StoreUnavailable(f"PostgreSQL at {self._url.host}: {type(error.orig).__name__}") from error
            raise


def _conflict(error: DBAPIError) -> bool:
    """Two replicas in each other's way: the whole change is read and done again."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in _CONFLICTS
