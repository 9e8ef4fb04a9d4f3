"""Who does this now: one table of leases for destinations, polls and timers, renewed often and taken over soon.

A holder that cannot renew stops by itself; every recorded outcome checks that its lease is still the one it had.
Each relay also keeps a lease on its own name, so that all know how many there are and share the destinations.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, delete, or_, select, text, update

from relay.clock import HOUR, SECOND, Clock, CommonClock, Millis
from relay.store.bell import LEASES, ring
from relay.store.database import Database, StoreUnavailable
from relay.store.schema import leases

RENEW_EVERY: Millis = 3 * SECOND
LAST: Millis = 10 * SECOND
MARGIN: Millis = 2 * SECOND
"""We stop that long before others may take over."""
ORPHANED: Millis = 2 * RENEW_EVERY
"""What nobody took for so long is taken by whoever comes, however much that one has already."""
SETTLED = 5
"""Renewals after which a relay that joined is given its share: one that dies at once again must move nothing. A start
takes four: before it listens, as its tasks begin, with the destinations and with the bot."""
REPLICA = "replica "
"""What begins the names that relays hold for themselves."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do `name`; `epoch` tells it from every earlier one."""

    name: str
    owner: str
    epoch: int


class LeaseLost(Exception):
    """Somebody else holds it now: what was done must not be recorded, the new holder does it."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a process would like to do: `single` things wherever they are, of the `spread` ones its share."""

    single: Collection[str] = ()
    spread: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What came of a renewal: name to epoch of all that is ours, how many relays live, what is beyond our share."""

    now: Millis  # by the clock that all share
    held: dict[str, int]
    replicas: int = 1
    surplus: Sequence[str] = ()


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


def renew(conn: Connection, wishes: Wishes, owner: str, clock: Clock, *, alone: bool) -> Standing:
    """Prolongs what we hold, takes what is free or run out. Locks no row of another relay that still renews.

    Args:
        conn: the transaction.
        wishes: what we would like to do.
        owner: this process.
        clock: for a database without replicas.
        alone: no other process can be there (the embedded database is locked): what is left of earlier ones is void.
    """
    now = database_now(conn, clock)
    held = _prolong(conn, owner, now)
    rows = {row.name: row for row in conn.execute(select(leases))}
    free = {name for name, row in rows.items() if row.until < now or (alone and row.owner != owner)}
    live = [row for name, row in rows.items() if name.startswith(REPLICA) and name not in free]
    share = _share(len(wishes.spread), len(live))
    ours = sum(name in held for name in wishes.spread)
    for name in sorted({*wishes.single, *wishes.spread} - held.keys()):
        row = rows.get(name)
        if row is not None and name not in free:
            continue
        fair = name in wishes.single or ours < share or row is None or row.until < now - ORPHANED
        if fair and (epoch := _take(conn, name, owner, now, alone=alone)):
            held[name] = epoch
            ours += name in wishes.spread
    settled = sum(row.owner == owner or row.epoch >= SETTLED for row in live)
    spread = sorted(name for name in wishes.spread if name in held)
    return Standing(now, held, max(len(live), 1), spread[_share(len(wishes.spread), settled) :])


def _share(things: int, relays: int) -> int:
    return -(-things // max(relays, 1))


def _prolong(conn: Connection, owner: str, now: Millis) -> dict[str, int]:
    """Renews all that is ours, our own name first of all; that one's epoch counts the renewals."""
    mine = {"name": REPLICA + owner, "owner": owner, "now": now, "until": now + LAST}
    conn.execute(_APPEAR, mine)
    rows = conn.execute(update(leases).where(leases.c.owner == owner).values(until=now + LAST).returning(leases))
    held = {row.name: row.epoch for row in rows if row.name != REPLICA + owner}
    conn.execute(delete(leases).where(leases.c.name.startswith(REPLICA), leases.c.until < now - HOUR))
    return held


_APPEAR = text(
    "INSERT INTO leases (name, owner, until, epoch) VALUES (:name, :owner, :until, 1) "
    "ON CONFLICT (name) DO UPDATE SET until = excluded.until, epoch = leases.epoch + 1"
)
_CREATE = text(
    "INSERT INTO leases (name, owner, until, epoch) VALUES (:name, :owner, :until, 1) ON CONFLICT (name) DO NOTHING"
)


def _take(conn: Connection, name: str, owner: str, now: Millis, *, alone: bool) -> int | None:
    """The new epoch, or None if somebody else was faster."""
    if conn.execute(_CREATE, {"name": name, "owner": owner, "until": now + LAST}).rowcount:
        return 1
    free = leases.c.owner != owner if alone else leases.c.until < now
    row = conn.execute(
        update(leases)
        .where(leases.c.name == name, or_(free, leases.c.owner == ""))
        .values(owner=owner, until=now + LAST, epoch=leases.c.epoch + 1)
        .returning(leases.c.epoch)
    ).first()
    return row.epoch if row else None


def give_up(conn: Connection, names: Collection[str] | None, owner: str, clock: Clock) -> None:
    """Frees these leases at once (None: all, and our name), and tells the other relays."""
    now = database_now(conn, clock)
    mine = leases.c.owner == owner
    chosen = mine if names is None else mine & leases.c.name.in_(names)
    if names is None:
        conn.execute(delete(leases).where(mine, leases.c.name == REPLICA + owner))
    conn.execute(update(leases).where(chosen).values(owner="", until=now - 1))
    ring(conn, LEASES)


class LeaseKeeper:
    """Keeps this process's leases. `run` renews; `get` answers from memory, and with nothing once renewal is overdue."""

    def __init__(
        self, database: Database, owner: str, clock: CommonClock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        self._monotonic = monotonic
        self._single: set[str] = set()
        self._spread: set[str] = set()
        self._held: dict[str, int] = {}
        self._in_use: set[str] = set()
        self._leaving: set[str] = set()
        self._handed: dict[str, float] = {}  # when we gave it to the others
        self._unwanted: set[str] = set()  # handed over, and nobody took it
        self._valid_until = 0.0
        self._nudged = asyncio.Event()
        self._one_round = asyncio.Lock()
        self.replicas = 1
        self.changed = asyncio.Condition()

    def want(self, names: Collection[str], *, spread: bool = False) -> None:
        """From the next renewal on; `spread`: these are shared evenly among the relays."""
        (self._spread if spread else self._single).update(names)

    def get(self, name: str) -> Lease | None:
        """The lease, if something new may be begun under it."""
        epoch = self._held.get(name)
        if epoch is None or name in self._leaving or self._monotonic() >= self._valid_until:
            return None
        return Lease(name, self._owner, epoch)

    @contextmanager
    def using(self, lease: Lease) -> Iterator[None]:
        """While something is done under this lease it is not handed to another relay. Raises `LeaseLost`."""
        if self.get(lease.name) != lease:
            raise LeaseLost(lease.name)
        self._in_use.add(lease.name)
        try:
            yield
        finally:
            self._in_use.discard(lease.name)
            if lease.name in self._leaving:
                self._nudged.set()

    def confirm(self, lease: Lease) -> None:
        """Just before what cannot be taken back: a process that was frozen meanwhile finds out here (`LeaseLost`)."""
        if self._held.get(lease.name) != lease.epoch or self._monotonic() >= self._valid_until:
            raise LeaseLost(lease.name)

    def nudge(self) -> None:
        """Another relay gave something up: look now."""
        self._nudged.set()

    async def wait_for(self, name: str) -> Lease:
        async with self.changed:
            while (lease := self.get(name)) is None:
                await self.changed.wait()
            return lease

    async def renew(self) -> None:
        """One round; a store that is not there leaves us with what we hold until that runs out."""
        await self._round(Wishes(frozenset(self._single), frozenset(self._spread)))

    async def run(self, stopping: asyncio.Event) -> None:
        """Ends after `stopping` is set and nothing is done under a lease any more; the rest is free at once."""
        stopper = asyncio.create_task(stopping.wait())
        stopper.add_done_callback(lambda _: self._nudged.set())
        try:
            while not stopping.is_set():
                await self.renew()
                await self._pause()
            self._leaving = set(self._held)
            while self._in_use:
                await self._round(Wishes())
                await self._pause()
            await self.release()
        finally:
            stopper.cancel()

    async def release(self) -> None:
        self._held = {}
        try:
            await self._database.write(give_up, None, self._owner, self._clock)
        except StoreUnavailable:
            return

    async def _round(self, wishes: Wishes) -> None:
        alone = self._database.kind == "sqlite"
        async with self._one_round:  # what is known must be the newest
            asked = self._monotonic()
            try:
                await self._hand_over(self._leaving - self._in_use)
                standing = await self._database.write(renew, wishes, self._owner, self._clock, alone=alone)
            except StoreUnavailable:
                return
            self._valid_until = asked + (LAST - MARGIN) / SECOND
            if not alone:
                self._clock.learn(standing.now, took=int((self._monotonic() - asked) * SECOND))
            self._take_in(standing, asked)
        async with self.changed:
            self.changed.notify_all()

    async def _hand_over(self, names: Collection[str]) -> None:
        if not names:
            return
        await self._database.write(give_up, names, self._owner, self._clock)
        for name in names:
            self._held.pop(name, None)
            self._leaving.discard(name)
            self._handed[name] = self._monotonic()

    def _take_in(self, standing: Standing, now: float) -> None:
        if standing.replicas != self.replicas:
            self._unwanted.clear()
        for name in standing.held.keys() & self._handed.keys():
            if now - self._handed.pop(name) < 3 * ORPHANED / SECOND:
                self._unwanted.add(name)
        self._held, self.replicas = standing.held, standing.replicas
        surplus = {name for name in standing.surplus if name not in self._unwanted}
        if surplus - self._leaving:
            self._leaving |= surplus
            self._nudged.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RENEW_EVERY / SECOND):
                await self._nudged.wait()
        except TimeoutError:
            return
        finally:
            self._nudged.clear()
