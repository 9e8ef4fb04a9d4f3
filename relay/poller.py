"""Asks one Alertmanager what really fires: closes what it no longer reports, marks what is silenced or inhibited.

Webhooks never say that a silenced, inhibited or lost alert resolved (`notify/mute.go`); its API does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay import logs
from relay.alertmanager import Alertmanager, AlertmanagerError, Listing, Silence, Status
from relay.clock import SECOND, Clock, Millis
from relay.ingest.reconcile import Reconciler, Reported, differs
from relay.metrics import Metrics
from relay.store.database import Database, StoreUnavailable
from relay.store.held import Held, held_alerts
from relay.store.leases import LeaseKeeper

MISSES = 2
"""An alert is over when a healthy peer did not list it so many times in a row."""


@dataclass(slots=True)
class _Missing:
    """Since when an alert is missing, and how often it was."""

    since: Millis
    times: int = 0


class Poller:
    """Polls one cluster. Misses are counted in memory and per peer: a restart or another peer starts anew."""

    def __init__(
        self,
        alertmanager: Alertmanager,
        *,
        database: Database,
        reconciler: Reconciler,
        keeper: LeaseKeeper,
        metrics: Metrics,
        clock: Clock,
        on_change: Callable[[Iterable[str]], None],
    ) -> None:
        self._alertmanager = alertmanager
        self._database = database
        self._reconciler = reconciler
        self._keeper = keeper
        self._metrics = metrics
        self._clock = clock
        self._on_change = on_change
        self._peer: str | None = None
        self._missing: dict[int, _Missing] = {}
        self._log = logs.get("poller")
        self.up = True  # until it is known better: a relay that has just started is not degraded
        self._started = False  # once it has answered, or could have for one interval
        if not alertmanager.config.poll:  # nobody will know better, and the shipped rule must not fire for ever
            metrics.alertmanager_up.labels(alertmanager.name).set(1)
        self.version: str | None = None
        self.answered_at: Millis | None = None

    @property
    def lease_name(self) -> str:
        return f"poll {self._alertmanager.name}"

    async def run(self, stopping: asyncio.Event) -> None:
        """Asks as soon as the lease is ours, then at every interval; without the lease only whether it answers."""
        self._keeper.want([self.lease_name])
        while not stopping.is_set():
            await self._pause(stopping)
            if not stopping.is_set():
                await self._guarded_poll()

    async def _pause(self, stopping: asyncio.Event) -> None:
        """One interval; shorter if the lease comes meanwhile, as it does right after the start."""
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(stopping.wait())]
        if self._keeper.get(self.lease_name) is None:
            waits.append(asyncio.create_task(self._keeper.wait_for(self.lease_name)))
        try:
            every = self._alertmanager.config.poll / SECOND
            await asyncio.wait(waits, timeout=every, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _guarded_poll(self) -> None:
        try:
            if self._keeper.get(self.lease_name) is not None:
                await self.poll()
            else:
                await self.look()
        except AlertmanagerError as error:
            self._say_down(str(error))
        except StoreUnavailable as error:
            self._log.warning("store unavailable", error=str(error))
        except Exception:  # noqa: BLE001  the door of a poll: a bug there must not stop the other pollers
            self._metrics.errors.labels("poller").inc()
            self._log.exception("poll failed unexpectedly", alertmanager=self._alertmanager.name)

    async def poll(self) -> None:
        """One round. Raises `AlertmanagerError` and `StoreUnavailable`."""
        listing = await self._alertmanager.alerts()
        silences = await self._silences(listing)
        self._say_up(listing.asked_at, listing.status)
        held = await self._database.read(held_alerts, self._alertmanager.name)
        listed = {alert.fingerprint for alert in listing}
        gone: list[int] = []
        for mine in held:
            if mine.fingerprint in listed:
                self._missing.pop(mine.id, None)
            elif self._is_gone(mine, listing):
                gone.append(mine.id)
        self._forget_others(held)
        await self._apply(_changes(held, listing, silences), gone, listing)

    async def look(self) -> None:
        """While another replica polls: whether we, too, would reach the cluster. Raises `AlertmanagerError`."""
        self._say_up(self._clock(), await self._alertmanager.status())

    async def refresh(self) -> None:
        """Marks what a person has just silenced or woken up; closes nothing and counts no misses. Never raises."""
        try:
            listing = await self._alertmanager.alerts()
            silences = await self._silences(listing)
            held = await self._database.read(held_alerts, self._alertmanager.name)
            reported = _changes(held, listing, silences)
            if reported:
                asked_at = listing.asked_at
                self._on_change(
                    await self._database.write(
                        self._reconciler.apply, reported=reported, gone=(), listed_before=asked_at
                    )
                )
        except (AlertmanagerError, StoreUnavailable) as error:
            self._log.warning("not refreshed, the next poll will do it", error=str(error))

    async def _apply(self, reported: Mapping[int, Reported], gone: Sequence[int], listing: Listing) -> None:
        woken: set[str] = set()
        if reported or gone:
            woken |= await self._database.write(
                self._reconciler.apply, reported=reported, gone=gone, listed_before=listing.asked_at
            )
        labels = [(receiver, alert.labels) for alert in listing for receiver in alert.receivers]
        if self._settled(listing):
            name = self._alertmanager.name
            woken |= await self._database.write(
                self._reconciler.settle_truncated, alertmanager=name, listed=labels, listed_before=listing.asked_at
            )
        if gone:
            self._log.info("closed what is no longer reported", alertmanager=self._alertmanager.name, alerts=len(gone))
        self._on_change(woken)

    async def _silences(self, listing: Listing) -> Mapping[str, Silence]:
        if not any(alert.silenced_by for alert in listing):
            return {}
        return {silence.id: silence for silence in await self._alertmanager.silences()}

    def _settled(self, listing: Listing) -> bool:
        """Whether this peer runs for long enough to have been told again of everything that fires."""
        started = listing.started_at
        return started is not None and self._clock() - started >= self._alertmanager.config.settle

    def _is_gone(self, held: Held, listing: Listing) -> bool:
        if listing.peer != self._peer:
            self._peer, self._missing = listing.peer, {}
        if not self._settled(listing) or held.seen_at >= listing.asked_at:
            self._missing.pop(held.id, None)
            return False
        missing = self._missing.get(held.id)
        if missing is None or held.seen_at > missing.since:  # a webhook listed it again meanwhile
            missing = self._missing[held.id] = _Missing(listing.asked_at)
        missing.times += 1
        return missing.times >= MISSES

    def _forget_others(self, held: Iterable[Held]) -> None:
        present = {mine.id for mine in held}
        self._missing = {id_: missing for id_, missing in self._missing.items() if id_ in present}

    def _say_up(self, answered_at: Millis, status: Status | None) -> None:
        if not self.up:
            self._log.info("alertmanager answers again", alertmanager=self._alertmanager.name)
        self.up = self._started = True
        self.answered_at = answered_at
        self.version = status.version if status else self.version
        self._metrics.alertmanager_up.labels(self._alertmanager.name).set(1)

    def _say_down(self, reason: str) -> None:
        if not self._started:  # both may have been started together: whether it is up shows at the next interval
            self._started = True
            return
        if self.up:
            self._log.warning("alertmanager does not answer", alertmanager=self._alertmanager.name, error=reason)
        self.up = False
        self._metrics.alertmanager_up.labels(self._alertmanager.name).set(0)


def _changes(held: Iterable[Held], listing: Listing, silences: Mapping[str, Silence]) -> dict[int, Reported]:
    """What the listing says of alerts we hold that we do not show yet."""
    listed = {alert.fingerprint: alert for alert in listing}
    changes: dict[int, Reported] = {}
    for mine in held:
        their = listed.get(mine.fingerprint)
        if their is not None:
            state = _reported(their.silenced_by, their.inhibited_by, silences)
            if differs(mine, state):
                changes[mine.id] = state
    return changes


def _reported(silenced_by: Sequence[str], inhibited_by: Sequence[str], silences: Mapping[str, Silence]) -> Reported:
    """The silence that lasts longest stands for all: until then nobody is told."""
    known = [silences[id_] for id_ in silenced_by if id_ in silences]
    longest = max(known, key=lambda silence: silence.ends_at or 0, default=None)
    return Reported(
        silenced=bool(silenced_by),
        inhibited=bool(inhibited_by),
        silenced_by=longest.created_by if longest else "",
        silenced_until=longest.ends_at if longest else None,
    )
