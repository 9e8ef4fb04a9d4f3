"""Who does this now: one table of leases for destinations, polls and timers, renewed often and taken over soon.

A holder that cannot renew stops by itself; every recorded outcome checks that its lease is still the one it had.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, text, update

from relay.clock import SECOND, Clock, Millis
from relay.store.database import Database, StoreUnavailable
from relay.store.schema import leases

RENEW_EVERY: Millis = 3 * SECOND
LAST: Millis = 10 * SECOND
MARGIN: Millis = 2 * SECOND
"""We stop that long before others may take over."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do `name`; `epoch` tells it from every earlier one."""

    name: str
    owner: str
    epoch: int


class LeaseLost(Exception):
    """Somebody else holds it now: what was done must not be recorded, the new holder does it."""


def check(conn: Connection, lease: Lease | None) -> None:
    """Raises `LeaseLost` unless the lease is still held. None: nothing to check (a person acts)."""
    if lease is None:
        return
    row = conn.execute(select(leases.c.owner, leases.c.epoch).where(leases.c.name == lease.name)).first()
    if row is None or (row.owner, row.epoch) != (lease.owner, lease.epoch):
        raise LeaseLost(lease.name)


def database_now(conn: Connection, clock: Clock) -> Millis:
    """The database's own clock where replicas share one; ours for the embedded database."""
    if conn.dialect.name != "postgresql":
        return clock()
    return int(conn.execute(text("SELECT extract(epoch FROM clock_timestamp()) * 1000")).scalar_one())


def renew(conn: Connection, names: Collection[str], owner: str, clock: Clock, *, alone: bool) -> dict[str, int]:
    """Takes what is free or run out and prolongs what we hold; name to epoch of all that is ours now.

    Args:
        conn: the transaction.
        names: what we would like to do.
        owner: this process.
        clock: for a database without replicas.
        alone: no other process can be there (the embedded database is locked): what is left of earlier ones is void.
    """
    now = database_now(conn, clock)
    rows = {row.name: row for row in conn.execute(select(leases).where(leases.c.name.in_(names)).with_for_update())}
    held = {}
    for name in sorted(names):
        row = rows.get(name)
        if row is None:
            conn.execute(insert(leases).values(name=name, owner=owner, until=now + LAST, epoch=1))
            held[name] = 1
        elif row.owner == owner:
            conn.execute(update(leases).where(leases.c.name == name).values(until=now + LAST))
            held[name] = row.epoch
        elif alone or row.until < now:
            epoch = row.epoch + 1
            conn.execute(update(leases).where(leases.c.name == name).values(owner=owner, until=now + LAST, epoch=epoch))
            held[name] = epoch
    return held


def release(conn: Connection, owner: str) -> None:
    conn.execute(update(leases).where(leases.c.owner == owner).values(owner="", until=0))


class LeaseKeeper:
    """Keeps this process's leases. `run` renews; `get` answers from memory, and with nothing once renewal is overdue."""

    def __init__(
        self, database: Database, owner: str, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        self._monotonic = monotonic
        self._wanted: set[str] = set()
        self._held: dict[str, int] = {}
        self._valid_until = 0.0
        self.changed = asyncio.Condition()

    def want(self, names: Collection[str]) -> None:
        self._wanted.update(names)

    def get(self, name: str) -> Lease | None:
        epoch = self._held.get(name)
        if epoch is None or self._monotonic() >= self._valid_until:
            return None
        return Lease(name, self._owner, epoch)

    async def wait_for(self, name: str) -> Lease:
        async with self.changed:
            while (lease := self.get(name)) is None:
                await self.changed.wait()
            return lease

    async def renew(self) -> None:
        """One round; a store that is not there leaves us with what we hold until that runs out."""
        asked = self._monotonic()
        try:
            self._held = await self._database.write(
                renew, self._wanted, self._owner, self._clock, alone=self._database.kind == "sqlite"
            )
        except StoreUnavailable:
            return
        self._valid_until = asked + (LAST - MARGIN) / SECOND
        async with self.changed:
            self.changed.notify_all()

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self.renew()
            try:
                async with asyncio.timeout(RENEW_EVERY / SECOND):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def release(self) -> None:
        self._held = {}
        try:
            await self._database.write(release, self._owner)
        except StoreUnavailable:
            return
