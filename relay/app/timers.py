"""What only time brings about, and what a start with another config does to open incidents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable

from relay import logs
from relay.clock import Clock
from relay.ingest.policy import Policy
from relay.ingest.reconcile import Reconciler, abandon_orphans, reroute_incident
from relay.metrics import Metrics
from relay.store.database import Database, StoreUnavailable
from relay.store.held import open_incidents
from relay.store.leases import LeaseKeeper

EVERY = 15.0
LEASE = "timer"

Wake = Callable[[Iterable[str]], None]


class Timers:
    """Ends flapping, in one replica at a time; `run` ends after `stopping` is set."""

    def __init__(
        self, database: Database, keeper: LeaseKeeper, metrics: Metrics, reconciler: Reconciler, wake: Wake
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._metrics = metrics
        self._reconciler = reconciler
        self._wake = wake
        self._log = logs.get("app")

    async def run(self, stopping: asyncio.Event) -> None:
        self._keeper.want([LEASE])
        while not stopping.is_set():
            if self._keeper.get(LEASE) is not None:
                await self._step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await stopping.wait()

    async def _step(self) -> None:
        try:
            self._wake(await self._database.write(self._reconciler.end_flapping))
        except StoreUnavailable as error:
            self._log.warning("store unavailable", error=str(error))
        except Exception:  # noqa: BLE001  the door of a timer step
            self._metrics.errors.labels("timer").inc()
            self._log.exception("timer failed unexpectedly")


async def route_anew(
    database: Database,
    policy: Policy,
    new_id: Callable[[], int],
    clock: Clock,
    wake: Wake,
    stopping: asyncio.Event,
    clusters: Collection[str],
) -> None:
    """The config may have changed since the last start: what is open or may go on follows it, one transaction each.

    `clusters`: all from which messages may come.
    """
    left: list[int] | None = None
    while left != [] and not stopping.is_set():
        try:
            if left is None:
                wake(await database.write(abandon_orphans, policy, new_id, clock, clusters))
                left = await database.read(open_incidents, clock() - policy.longest_reopen)
            else:
                wake(await database.write(reroute_incident, policy, new_id, clock, left[-1]))
                left.pop()
        except StoreUnavailable as error:
            logs.get("app").warning("open incidents are not routed anew yet", error=str(error))
            await asyncio.sleep(1.0)
