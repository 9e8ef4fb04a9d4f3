"""Keeps every destination's view of the state up to date: one worker per destination, woken by changes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from relay import logs
from relay.clock import Clock, Millis
from relay.delivery.budget import Budget
from relay.delivery.worker import Worker
from relay.limits import Limiter, strictest
from relay.metrics import Metrics
from relay.notification import Channel, Limits
from relay.store.database import Database, StoreUnavailable
from relay.store.destinations import moves
from relay.store.leases import LeaseKeeper

__all__ = ["MOST_OTHERS", "Delivery", "Surroundings"]


STANDS_STILL = 180.0
"""Seconds. The longest call, a mail to many recipients, ends sooner."""


MOST_OTHERS = 1000
"""Of so many chats that no channel writes to is remembered what they were sent lately."""


KEPT_FROM_OTHERS = 10
"""Messages of the account's window (30 a second, of a bot) that their answers leave to the channels."""


async def rest(seconds: float, woken: asyncio.Event | None) -> None:
    """Sleeps so long, or until `woken`."""
    if woken is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return


Rest = Callable[[float, asyncio.Event | None], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every worker needs from outside."""

    database: Database
    keeper: LeaseKeeper
    metrics: Metrics
    clock: Clock
    monotonic: Callable[[], float]
    rng: random.Random
    new_id: Callable[[], int]
    max_age: Mapping[str, Millis]  # by channel
    several: bool  # several alertmanagers: texts name the cluster
    rest: Rest = rest


class Delivery:
    """The workers. `run` returns after `stopping` is set and every worker has finished the call in hand."""

    def __init__(self, channels: Sequence[Channel], around: Surroundings) -> None:
        self._around = around
        self._channels = channels
        self._accounts: dict[str, Limiter] = {}
        self._workers: dict[str, Worker] = {}
        self._others: dict[str, Budget] = {}
        for channel in channels:
            self._admit(channel)

    def _admit(self, channel: Channel) -> None:
        worker = self._workers.get(channel.destination)
        if worker is None:
            here = [one.limits for one in self._channels if one.destination == channel.destination]
            shared = [one.limits for one in self._channels if one.account == channel.account]
            budget = self._budget_of(here, channel.account, shared)
            worker = self._workers[channel.destination] = Worker(channel.destination, budget, self._around)
        worker.serve(channel)

    def _budget_of(self, here: Sequence[Limits], account: str, shared: Sequence[Limits]) -> Budget:
        """Channels that share a chat share its budget, and the strictest of what they say holds."""
        if account not in self._accounts:
            keeper = self._around.keeper
            everywhere = strictest(window for limits in shared for window in limits.account)
            self._accounts[account] = Limiter(everywhere, shared_by=lambda: keeper.replicas)
        windows = strictest(window for limits in here for window in limits.destination)
        reserved = max((limits.reserved for limits in here), default=0)
        return Budget(Limiter(windows, reserved=reserved), self._accounts[account])

    def budget(self, destination: str, account: str, limits: Limits) -> Budget:
        """What the bot's answers share with the posts of that chat. One that no channel writes to has `limits` of its own.

        Anybody may write to a bot, from any number of chats: what they all are answered counts for the account, too, and
        leaves a part of it to the channels.
        """
        worker = self._workers.get(destination)
        if worker is not None:
            return worker.budget
        found = self._others.pop(destination, None)
        if found is None:
            found = replace(self._budget_of([limits], account, [limits]), spare=KEPT_FROM_OTHERS)
        self._others[destination] = found  # the newest is the last
        if len(self._others) > MOST_OTHERS:
            del self._others[next(iter(self._others))]
        return found

    def wake(self, channels: Iterable[str]) -> None:
        woken = set(channels)
        for worker in self._workers.values():
            if not woken.isdisjoint(worker.channels):
                worker.wake()

    def resume(self, channel: str) -> None:
        """A person says that this channel works again: its pause ends."""
        for worker in self._workers.values():
            if channel in worker.channels:
                worker.pauses.lift(channel)
                worker.wake()

    def standing_still(self) -> list[str]:
        """Destinations whose worker has not begun a turn for so long that no call of ours could last."""
        now = self._around.monotonic()
        return [one.destination for one in self._workers.values() if now - one.turned_at > STANDS_STILL]

    async def run(self, stopping: asyncio.Event) -> None:
        await self._follow_moves(stopping)
        self._around.keeper.want([worker.lease_name for worker in self._workers.values()], spread=True)
        await self._around.keeper.renew()
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers.values():
                tasks.create_task(worker.run(stopping), name=f"worker {worker.destination}")

    async def _follow_moves(self, stopping: asyncio.Event) -> None:
        """Chats that moved in an earlier life: the config may still name the old address."""
        moved: dict[str, str] = {}
        while not stopping.is_set():
            try:
                moved = await self._around.database.read(moves)
            except StoreUnavailable as error:  # webhooks are answered 503 meanwhile, and deliveries wait, too
                logs.get("delivery").warning("store unavailable", error=str(error))
                await asyncio.sleep(1.0)
            else:
                break
        for channel in self._channels:
            for _ in moved:  # an address may have moved more than once
                if channel.destination in moved:
                    channel.follow(json.loads(moved[channel.destination]))
