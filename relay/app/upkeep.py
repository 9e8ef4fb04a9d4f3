"""The task that forgets what is past `database.retention`, in one replica at a time."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from relay import logs
from relay.clock import MINUTE, SECOND, Clock, Millis
from relay.metrics import Metrics
from relay.store.database import Database, StoreUnavailable
from relay.store.leases import LeaseKeeper
from relay.store.retention import Retention

EVERY: Millis = 5 * MINUTE
LEASE = "retention"


class Upkeep:
    """Makes a round every few minutes while it holds the lease; `run` ends soon after `stopping` is set."""

    def __init__(
        self, database: Database, keeper: LeaseKeeper, metrics: Metrics, clock: Clock, *, keep: Millis
    ) -> None:
        self._retention = Retention(database, clock, keep=keep)
        self._keeper = keeper
        self._metrics = metrics
        self._log = logs.get("app")

    async def run(self, stopping: asyncio.Event) -> None:
        self._keeper.want([LEASE])
        while not stopping.is_set():
            try:
                async with asyncio.timeout(min(EVERY, self._retention.keep) / SECOND):
                    await stopping.wait()
            except TimeoutError:
                if self._keeper.get(LEASE) is not None:
                    await self._round(stopping)

    async def _round(self, stopping: asyncio.Event) -> None:
        try:
            forgotten = await self._retention.round(stopping)
        except StoreUnavailable as error:
            self._log.warning("store unavailable", error=str(error))
        except Exception:  # noqa: BLE001  the door of a round: a bug in one must not stop the next
            self._metrics.errors.labels("timer").inc()
            self._log.exception("retention failed unexpectedly")
        else:
            if forgotten:
                self._log.info("forgotten", **asdict(forgotten))
