"""Watches the relay itself: reports what fails as alerts of its own, and shows elsewhere what a channel cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from relay import logs
from relay.alerts import WebhookMessage
from relay.clock import MINUTE, SECOND, Clock, Millis
from relay.ingest.accept import Accepted, Delivered
from relay.ingest.fallback import show_elsewhere
from relay.ingest.own import ITSELF, SOURCE
from relay.ingest.policy import Policy
from relay.metrics import Metrics
from relay.store.database import Connection, Database
from relay.store.leases import LeaseKeeper
from relay.store.watching import ChannelState, Look, commit_nothing, find_stranded, look
from relay.watching import concerns
from relay.watching.concerns import Concern, Subject
from relay.watching.judge import Contact, Judge, Watched
from relay.watching.rounds import make_rounds

__all__ = ["Watched", "Watcher", "Workshop"]

EVERY = 2.0
COMMIT_EVERY = 10.0
"""Seconds between two rounds, and between two empty transactions that show whether the store is slow."""
STAND_IN_AFTER: Millis = MINUTE
"""A channel that cannot be reached for so long is stood in for; one that refuses for good, at once."""
ALONE_AFTER: Millis = 5 * MINUTE
"""So is, after so long, a post that alone does not get through where others do."""
LEASE = "watching"

Accept = Callable[[Connection, Sequence[Delivered]], Sequence[Accepted]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the watcher works with."""

    database: Database
    keeper: LeaseKeeper
    metrics: Metrics
    policy: Policy
    new_id: Callable[[], int]
    accept: Accept
    clock: Clock
    monotonic: Callable[[], float]
    on_change: Callable[[Iterable[str]], None]


class Watcher:
    """One round every two seconds.

    Every replica looks, so that it knows what it has seen itself when it takes over; only the holder of the lease acts,
    and on an Alertmanager's reachability only whoever polls it.
    """

    def __init__(self, workshop: Workshop, watched: Watched, contacts: Mapping[str, Contact]) -> None:
        self._with = workshop
        self._watched = watched
        self._contacts = contacts
        self._judge = Judge(watched, workshop.monotonic())
        self._committed_at: float | None = None
        self._log = logs.get("watching")

    async def run(self, stopping: asyncio.Event) -> None:
        self._with.keeper.want([LEASE])
        await make_rounds(self.round, EVERY, stopping=stopping, metrics=self._with.metrics)

    async def round(self) -> None:
        """Raises `StoreUnavailable`."""
        await self._time_commit()
        found = await self._with.database.read(look, list(self._watched.zones), ITSELF)
        for name, seen_at in found.beats.items():
            if name in self._watched.watchdogs:
                self._with.metrics.watchdog_last_seen.labels(name).set(seen_at / SECOND)
        verdicts = self._judge.judge(found, self._contacts, self._with.clock(), self._with.monotonic())
        await self._report(verdicts, found)
        if self._with.keeper.get(LEASE) is not None:
            await self._stand_in(found)

    async def _time_commit(self) -> None:
        began = self._with.monotonic()
        if self._committed_at is None or began - self._committed_at >= COMMIT_EVERY:
            await self._with.database.write(commit_nothing)
            self._committed_at = self._with.monotonic()
            self._judge.note_commit(self._committed_at - began)

    # -- reports ---------------------------------------------------------------------------------------------------

    async def _report(self, verdicts: Mapping[Subject, Concern | None], found: Look) -> None:
        reported = {concerns.subject_of(firing): firing for firing in found.own}
        for subject, concern in verdicts.items():
            firing = reported.get(subject)
            if not self._is_ours(subject):
                continue
            if concern is not None and (firing is None or concerns.reason_of(firing) != concern.reason):
                self._log.warning("reported", alert=subject.alert, about=subject.name, text=concern.texts["summary"])
                label = self._with.policy.severities.label
                await self._accept(concerns.firing_message(subject, concern, label, self._watched.health_url))
            elif concern is None and firing is not None:
                self._log.info("well again", alert=subject.alert, about=subject.name)
                await self._accept(concerns.resolved_message(firing, self._with.clock(), self._watched.health_url))

    def _is_ours(self, subject: Subject) -> bool:
        """An Alertmanager is judged by whoever polls it; everything else by one replica."""
        polled = subject.alert == concerns.UNREACHABLE and subject.name in self._contacts
        return self._with.keeper.get(f"poll {subject.name}" if polled else LEASE) is not None

    async def _accept(self, message: WebhookMessage) -> None:
        accepted = await self._with.database.write_batched(self._with.accept, Delivered(source=SOURCE, message=message))
        self._with.on_change(accepted.woken)

    # -- standing in -----------------------------------------------------------------------------------------------

    async def _stand_in(self, found: Look) -> None:
        now = self._with.clock()
        failing = {name for name, state in found.channels.items() if _cannot_show(state, now)}
        stand_ins = {name: stand_in for name in found.channels if (stand_in := self._stand_in_for(name, failing))}
        before = now - ALONE_AFTER
        wanted = {
            name: other
            for name, other in stand_ins.items()
            if name in failing or found.channels[name].dead or (found.channels[name].oldest or now) <= before
        }
        if not wanted:
            return
        stranded = await self._with.database.read(find_stranded, failing, wanted, before)
        if not stranded:
            return
        woken = await self._with.database.write(
            show_elsewhere,
            stranded,
            wanted,
            policy=self._with.policy,
            new_id=self._with.new_id,
            clock=self._with.clock,
        )
        self._log.warning("critical alerts shown elsewhere", incidents=len(stranded), channels=sorted(woken))
        self._with.on_change(woken)

    def _stand_in_for(self, channel: str, failing: set[str]) -> str | None:
        """The first of the fallbacks, one after the other, that works; if none does, the first."""
        first = following = self._watched.fallbacks.get(channel)
        while following in failing and (beyond := self._watched.fallbacks.get(following)) is not None:
            following = beyond
        return first if following in failing else following


def _cannot_show(state: ChannelState, now: Millis) -> bool:
    if state.paused_since is None:
        return False
    return state.permanent or now - state.paused_since >= STAND_IN_AFTER
