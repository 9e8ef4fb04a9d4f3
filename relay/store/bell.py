"""Wakes the other relays on the same database when there is work. It only wakes: what gets lost, their next look finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from sqlalchemy import Connection, text

from relay import logs
from relay.store.database import StoreUnavailable

NAME = "relay"
"""PostgreSQL's notification channel; it belongs to one database."""
LEASES = ":leases"
"""The topic of leases that were given up; all others are names of channels, which have no colon."""
EVERYTHING = "*"
LONGEST = 7900
"""Bytes of a payload; PostgreSQL takes less than 8,000."""
LOOK_EVERY = 15.0
"""Seconds after which a silent line is tried: one that broke without a word would stay silent for ever."""
AGAIN_AFTER = 2.0


class Line(Protocol):
    """A connection on which notifications come and go. All methods raise `StoreUnavailable`."""

    async def send(self, payload: str | None) -> None:
        """None: only try whether anybody is there."""

    async def close(self) -> None: ...


Connect = Callable[[Callable[[str], None]], Awaitable[Line]]
"""Opens a line and calls back with the payload of every notification that another connection sent."""


def ring(conn: Connection, topic: str) -> None:
    """Tells the others with this transaction's commit."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_notify(:name, :payload)"), {"name": NAME, "payload": json.dumps([topic])})


class Bell:
    """Sends and hears topics. Without `connect` (the embedded database) there is nobody to hear us.

    What rings together is sent together, and outside of the transactions that caused it: a notification in each would
    let PostgreSQL commit only one of them at a time.
    """

    def __init__(self, connect: Connect | None, on_ring: Callable[[frozenset[str]], None]) -> None:
        self._connect = connect
        self._on_ring = on_ring
        self._waiting: set[str] = set()
        self._rung = asyncio.Event()
        self._log = logs.get("bell")

    def ring(self, topics: Iterable[str]) -> None:
        if self._connect is not None:
            self._waiting.update(topics)
            if self._waiting:
                self._rung.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; a line that breaks is opened anew."""
        if self._connect is None:
            return
        stopper = asyncio.create_task(stopping.wait())
        stopper.add_done_callback(lambda _: self._rung.set())
        silent = False
        try:
            while not stopping.is_set():
                try:
                    await self._serve(self._connect, stopping)
                except StoreUnavailable as error:
                    if not silent:
                        self._log.warning("other relays are not woken, they look by themselves", error=str(error))
                    silent = True
                    await _either(stopping, AGAIN_AFTER)
        finally:
            stopper.cancel()

    async def _serve(self, connect: Connect, stopping: asyncio.Event) -> None:
        line = await connect(self._hear)
        self._on_ring(frozenset([EVERYTHING, LEASES]))  # who knows what we did not hear
        try:
            while not stopping.is_set():
                self._rung.clear()
                if not self._waiting:
                    await _either(self._rung, LOOK_EVERY)
                topics, self._waiting = self._waiting, set()
                await line.send(_payload(topics) if topics else None)
        finally:
            await line.close()

    def _hear(self, payload: str) -> None:
        try:
            topics = frozenset(str(topic) for topic in json.loads(payload))
        except (ValueError, TypeError):
            return  # none of ours
        self._on_ring(topics)


def _payload(topics: Iterable[str]) -> str:
    payload = json.dumps(sorted(topics))
    return payload if len(payload) <= LONGEST else json.dumps([EVERYTHING])


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
