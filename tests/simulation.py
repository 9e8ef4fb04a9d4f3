"""A destination under simulated time: the real worker, a real channel and database, a strict stand-in behind a socket.

Nothing waits: whenever the worker would sleep, the clock moves on to the next thing that happens. So a storm of minutes
takes seconds, and comes out the same each time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from relay.clock import DAY, SECOND, CommonClock, Millis
from relay.delivery import Delivery, Surroundings
from relay.metrics import Metrics
from relay.notification import Channel
from relay.store.leases import RENEW_EVERY, LeaseKeeper
from tests.state import START, State

Happening = Callable[[], Awaitable[Any]]


@dataclass
class Simulation:
    """`at(seconds, something)` plans what happens; `run(seconds)` lets that much time pass."""

    state: State
    channels: Sequence[Channel]
    seed: int = 1
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._plans: list[tuple[Millis, int, Happening]] = []
        self._until: Millis = START
        self._renewed: Millis = 0
        self._stopping = asyncio.Event()
        self.metrics = Metrics(self.registry)
        self.metrics.declare({channel.name: channel.type for channel in self.channels}, ["main"], "test")
        self.start()

    def start(self) -> None:
        """A relay's life begins, with nothing in its memory."""
        database, clock = self.state.database, self.state.clock
        self.keeper = LeaseKeeper(database, "test", CommonClock(clock), monotonic=self.monotonic)
        around = Surroundings(
            database=database,
            keeper=self.keeper,
            metrics=self.metrics,
            clock=clock,
            monotonic=self.monotonic,
            rng=random.Random(self.seed),
            new_id=self.state.new_id,
            max_age={channel.name: DAY for channel in self.channels},
            several=False,
            rest=self._rest,
        )
        self.delivery = Delivery(self.channels, around)

    def monotonic(self) -> float:
        return (self.state.clock() - START) / SECOND

    def at(self, seconds: float, happening: Happening) -> None:
        """It happens so many seconds after the begin."""
        self._plans.append((START + int(seconds * SECOND), len(self._plans), happening))
        self._plans.sort(key=lambda plan: plan[:2])

    async def run(self, seconds: float) -> None:
        """Time passes until so many seconds after the begin."""
        self._until = START + int(seconds * SECOND)
        self._stopping.clear()
        await self.delivery.run(self._stopping)

    def stop(self) -> None:
        """The relay is asked to stop."""
        self._stopping.set()

    async def _rest(self, seconds: float, woken: asyncio.Event | None) -> None:
        """Nobody does anything for so long: the clock moves, unless something was planned meanwhile."""
        clock = self.state.clock
        end = min(clock() + max(int(seconds * SECOND), 1), self._until)
        while self._plans and self._plans[0][0] <= end:
            planned, _, happening = self._plans.pop(0)
            clock.now = max(clock.now, planned)
            await happening()
            if woken is not None:
                end = clock.now
        clock.now = max(clock.now, end)
        if clock() - self._renewed >= RENEW_EVERY:
            self._renewed = clock()
            await self.keeper.renew()
        if clock() >= self._until:
            self._stopping.set()
        await asyncio.sleep(0)


@asynccontextmanager
async def simulate(state: State, channels: Sequence[Any]) -> AsyncIterator[Simulation]:
    simulation = Simulation(state, channels)
    try:
        yield simulation
    finally:
        for channel in channels:
            await channel.close()
