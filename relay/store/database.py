"""Runs store functions: one writer with batches, readers beside it, for SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from sqlalchemy import Connection

__all__ = ["Connection", "Database", "Engine", "StoreUnavailable"]
"""`Connection` is handed on: only this package imports SQLAlchemy."""

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")
BatchFunction = Callable[[Connection, Sequence[Any]], Sequence[Any]]

MAX_BATCH = 128
GATHER = 0.010
"""Seconds that several changes wait, at most, for as many as came together last time: a batch costs much the same however
many it holds, and senders who were answered together come again together."""


class StoreUnavailable(Exception):
    """The state cannot be read or written now; nothing of the change was kept. The caller may try again."""


@dataclass(slots=True)
class _Call:
    batch: BatchFunction
    item: Any
    done: asyncio.Future[Any]
    prepare: Callable[[Any], Any] | None = None
    answer: Any = None


class Engine(Protocol):
    """What a database must offer: both run `work` in one transaction and raise `StoreUnavailable` when it is not there."""

    kind: str
    one_writer: bool  # changes that wait share a transaction; else each has its own, side by side

    async def open(self) -> None: ...

    async def write(self, work: Callable[[Connection], T]) -> T: ...

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def close(self) -> None: ...


class Database:
    """The one door to the state. `start()` before use, `close()` after; both from the same event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[_Call] = []
        self._wake = asyncio.Event()
        self._wanted = 1  # that many changes that wait wake the writer
        self._company = 1  # that many were on their way together when the last batch was done
        self._writer: asyncio.Task[None] | None = None
        self._apart: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.last_error: str | None = None

    @property
    def kind(self) -> str:
        return self._engine.kind

    async def start(self) -> None:
        await self._engine.open()
        self._writer = asyncio.create_task(self._write_batches(), name="store-writer")

    async def close(self) -> None:
        """Finishes what was handed over, then closes."""
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            await self._writer
            self._writer = None
        await asyncio.gather(*self._apart, return_exceptions=True)
        await self._engine.close()

    async def read(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        result: T = await self._watched(self._engine.read(lambda conn: function(conn, *args, **kwargs)))
        return result

    async def write(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Runs `function(conn, …)` in a transaction of its own or together with others that wait; returns after COMMIT.

        Where replicas share the database it is always one of its own: the fewer rows a transaction locks, and the sooner
        it ends, the less they wait for each other.
        """
        result: T
        if self._engine.one_writer:
            result = await self.write_batched(_run_alone, lambda conn: function(conn, *args, **kwargs))
        else:
            result = await self._write_apart(lambda conn: function(conn, *args, **kwargs))
        return result

    async def _write_apart(self, work: Callable[[Connection], T]) -> T:
        """A caller that is cancelled leaves the change to itself, as it does in a batch."""
        if self._closing:
            raise StoreUnavailable("the store is closing")
        task: asyncio.Task[T] = asyncio.create_task(self._watched(self._engine.write(work)), name="store-change")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)
        return await asyncio.shield(task)

    @overload
    async def write_batched(self, batch: Callable[[Connection, Sequence[Item]], Sequence[T]], item: Item) -> T: ...

    @overload
    async def write_batched(
        self,
        batch: Callable[[Connection, Sequence[Item]], Sequence[Result]],
        item: Item,
        prepare: Callable[[Result], T],
    ) -> T: ...

    async def write_batched(self, batch: BatchFunction, item: Any, prepare: Callable[[Any], Any] | None = None) -> Any:
        """Like `write`, for changes that can be done many at a time: all waiting items of one `batch` make one call.

        `prepare` makes of its result what is returned. It is called in the event loop while the transaction is being
        committed, for meanwhile there is nothing else to do; so it may not tell anybody that the change is kept.
        """
        if self._closing:
            raise StoreUnavailable("the store is closing")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(batch, item, done, prepare))
        if len(self._waiting) >= self._wanted:
            self._wake.set()
        return await done

    async def _write_batches(self) -> None:
        while True:
            await self._until(1)
            if not self._waiting:  # it is closing
                return
            if len(self._waiting) > 1:
                await self._until(self._company, GATHER)
            calls, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            await self._write(calls)
            self._company = min(len(calls) + len(self._waiting), MAX_BATCH)

    async def _until(self, wanted: int, within: float | None = None) -> None:
        """Returns when so many changes wait, after so many seconds, or when there will be no more."""
        self._wanted = wanted
        if len(self._waiting) >= wanted or self._closing:
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._wake.wait()

    async def _write(self, calls: Sequence[_Call]) -> None:
        try:
            await self._watched(self._engine.write(partial(_run_and_prepare, calls, asyncio.get_running_loop())))
        except StoreUnavailable as error:
            for call in calls:
                _settle(call.done, StoreUnavailable(str(error)))
        except Exception as error:  # noqa: BLE001  the door of all changes: each caller gets its own error
            if len(calls) == 1:
                _settle(calls[0].done, error)
                return
            for call in calls:  # one bad change must not take good ones along
                await self._write([call])
        else:
            for call in calls:
                if not call.done.done():
                    call.done.set_result(call.answer)

    async def _watched(self, work: Any) -> Any:
        try:
            result = await work
        except StoreUnavailable as error:
            self.last_error = str(error)
            raise
        self.last_error = None
        return result


def _settle(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _run_alone(conn: Connection, items: Sequence[Callable[[Connection], Any]]) -> Sequence[Any]:
    return [item(conn) for item in items]


def _run_and_prepare(calls: Sequence[_Call], loop: asyncio.AbstractEventLoop, conn: Connection) -> None:
    """What is scheduled here runs before whatever the end of the COMMIT schedules."""
    results = _run(conn, calls)
    loop.call_soon_threadsafe(_prepare, calls, results)


def _prepare(calls: Sequence[_Call], results: Sequence[Any]) -> None:
    for call, result in zip(calls, results, strict=True):
        try:
            call.answer = call.prepare(result) if call.prepare is not None else result
        except Exception as error:  # noqa: BLE001  its caller gets it, and nobody else
            _settle(call.done, error)


def _run(conn: Connection, calls: Sequence[_Call]) -> list[Any]:
    """Runs calls in order; neighbours with the same batch function go together."""
    results: list[Any] = []
    start = 0
    while start < len(calls):
        end = start + 1
        while end < len(calls) and calls[end].batch is calls[start].batch:
            end += 1
        results.extend(calls[start].batch(conn, [call.item for call in calls[start:end]]))
        start = end
    return results
