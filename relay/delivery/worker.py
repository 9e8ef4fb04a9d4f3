"""One destination's worker: takes the post that is due, plans, renders, makes one call, records what came of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from relay import logs, planning
from relay.clock import MINUTE, SECOND, Millis
from relay.delivery.bookkeeper import Attempt, Bookkeeper
from relay.delivery.budget import Budget
from relay.delivery.digest import Digests
from relay.delivery.pauses import Pauses
from relay.notification import Channel, Content, DeliveryError, IncidentView, Kind, Notice, Sent
from relay.store.database import StoreUnavailable
from relay.store.destinations import recent_calls
from relay.store.digests import look
from relay.store.leases import Lease, LeaseLost
from relay.store.posts import Due, Idle, record_done
from relay.store.rows import PostRow

if TYPE_CHECKING:
    from relay.delivery import Surroundings

LOOK_EVERY = 5.0
"""Seconds. Events wake a worker; this is the net below them."""
LATE_AFTER: Millis = 10 * MINUTE
MANY_ALERTS = 200
"""Rendering more than so many takes long enough to be done beside the event loop."""


class Worker:
    """Serves one destination; never two calls at once there, so an older state cannot overtake a newer one."""

    def __init__(self, destination: str, budget: Budget, around: Surroundings) -> None:
        self.destination = destination
        self.budget = budget
        self.channels: dict[str, Channel] = {}
        self._around = around
        self._woken = asyncio.Event()
        self.pauses = Pauses()
        self.turned_at = around.monotonic()  # when the last turn began: a worker that stands still shows here
        self._epoch: int | None = None  # of the lease that we had last
        self._books = Bookkeeper(around)
        self._digests = Digests(self.channels, budget, self.pauses, around, self._serve)
        self._log = logs.get("delivery")

    @property
    def lease_name(self) -> str:
        return f"destination {self.destination}"

    def serve(self, channel: Channel) -> None:
        self.channels[channel.name] = channel

    def wake(self) -> None:
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until `stopping` is set; the call in hand is finished first."""
        stopper = asyncio.create_task(stopping.wait())
        stopper.add_done_callback(lambda _: self._woken.set())
        try:
            while not stopping.is_set():
                await self._guarded_turn(stopping)
        finally:
            stopper.cancel()

    async def _guarded_turn(self, stopping: asyncio.Event) -> None:
        try:
            await self._turn(stopping)
        except StoreUnavailable as error:
            self._log.warning("store unavailable", destination=self.destination, error=str(error))
            await self._pause(1.0)
        except LeaseLost:
            if not stopping.is_set():  # else it was given up between two steps, and the next process does this one
                self._log.warning("lease lost, another replica serves this destination", destination=self.destination)
        except Exception:  # noqa: BLE001  the door of a delivery: a bug there must not stop the others
            self._around.metrics.errors.labels("delivery").inc()
            self._log.exception("delivery failed unexpectedly", destination=self.destination)
            await self._pause(5.0)

    async def _turn(self, stopping: asyncio.Event) -> None:
        self._woken.clear()
        if stopping.is_set():
            return
        self.turned_at = now = self._around.monotonic()
        lease = self._around.keeper.get(self.lease_name)
        free = self.pauses.free(self.channels, now)
        if lease is None or not free:
            await self._pause(1.0 if free else min(self.pauses.wait(self.channels, now), LOOK_EVERY))
            return
        if lease.epoch != self._epoch:
            await self._recall(lease)
        seen = await self._around.database.read(
            look,
            free,
            self._around.clock(),
            several=self._around.several,
            appending=self._digests.appending,
            after=self.pauses.failed,
            failed=self.pauses.failed_digests,
        )
        with self._around.keeper.using(lease):
            if await self._digests.turn(seen, lease):
                return
            if isinstance(seen.due, Due):
                await self._serve(seen.due, lease, self._digests.kept(seen))
        if isinstance(seen.due, Idle):
            await self._rest(seen.due)

    async def _recall(self, lease: Lease) -> None:
        """Somebody else had the lease before, and the platform counts what they have sent."""
        now = self._around.clock()
        calls = await self._around.database.read(recent_calls, list(self.channels), now)
        self.budget.recall([self._around.monotonic() - (now - at) / SECOND for at in calls])
        self._epoch = lease.epoch

    async def _rest(self, idle: Idle) -> None:
        wait = LOOK_EVERY if idle.until is None else (idle.until - self._around.clock()) / SECOND
        await self._pause(min(max(min(wait, self._digests.rest), 0.01), LOOK_EVERY))

    async def _pause(self, seconds: float) -> None:
        """Sleeps until something happens, but no longer than that."""
        await self._around.rest(seconds, self._woken)

    async def _serve(self, due: Due, lease: Lease, keep: int) -> bool:
        """One step of a post, which leaves `keep` tokens; whether a message that rings went out."""
        channel, now = self.channels[due.post.channel], self._around.clock()
        overflows = self._overflows(channel, due.view)
        remote = json.loads(due.post.remote) if due.post.remote else None
        state = _state(due.post, elsewhere=remote is not None and channel.is_elsewhere(remote))
        step = planning.plan(state, due.view, channel.capabilities, overflows=overflows, now=now)
        if not isinstance(step, planning.Step):
            until = step.at if isinstance(step, planning.Later) else None
            await self._around.database.write(record_done, due.post.id, due.view.revision, until, lease)
            return False
        delay = self.budget.delay(self._around.monotonic(), keep=keep)
        if delay > 0:  # wait first, then look again: what is sent must be the newest state
            wait = min(delay, 1.0)
            self._around.metrics.rate_limited_seconds.labels(channel.name).inc(wait)
            await self._around.rest(wait, None)
            return False
        leaves = step.kind is Kind.FAREWELL and not due.post.farewell
        sent = await self._attempt(Attempt(due.post, channel, _notice(due, step, now), lease, leaves))
        return sent and step.kind in (Kind.NEW, Kind.REPLY)

    async def _attempt(self, attempt: Attempt) -> bool:
        """Whether the destination took it."""
        notice, channel = attempt.notice, attempt.channel
        content = await self._rendered(attempt)
        if content is None:
            return False
        if notice.kind is Kind.EDIT and content.fingerprint == attempt.post.fingerprint:
            await self._books.note_unchanged(attempt)
            return False
        self._around.keeper.confirm(attempt.lease)
        tickets = self.budget.take(self._around.monotonic())
        outcome: Sent | DeliveryError
        try:
            outcome = await channel.send(content)
        except DeliveryError as error:
            outcome = error
        finally:
            self.budget.settle(tickets, self._around.monotonic())
        # what is known must be written down, whoever cancels us: forgetting it would send the message twice
        await asyncio.shield(self._settle(attempt, outcome, content.fingerprint))
        return isinstance(outcome, Sent)

    @staticmethod
    def _overflows(channel: Channel, view: IncidentView) -> bool:
        try:
            return channel.overflows(view)
        except Exception:  # noqa: BLE001  the message cannot be rendered either, and that is told
            return False

    async def _rendered(self, attempt: Attempt) -> Content | None:
        """None: it cannot be. Then it is a dead letter, since to try it again and again would hold up all others."""
        notice, channel = attempt.notice, attempt.channel
        try:
            if len(notice.view.alerts) > MANY_ALERTS:
                return await asyncio.to_thread(channel.render, notice)
            return channel.render(notice)
        except Exception as error:  # noqa: BLE001  whatever it is, it concerns this message alone
            self._around.metrics.errors.labels("delivery").inc()
            self._log.exception("message cannot be rendered", channel=channel.name, group=notice.view.code)
            why = DeliveryError("template", f"{type(error).__name__}: {error}", scope="post", permanent=True)
            await asyncio.shield(self._books.failed(attempt, why, failures=0))
            return None

    async def _settle(self, attempt: Attempt, outcome: Sent | DeliveryError, fingerprint: str) -> None:
        channel, post = attempt.channel.name, attempt.post.id
        if isinstance(outcome, Sent):
            self.pauses.worked(channel, post)
            await self._books.succeeded(attempt, outcome, fingerprint)
            return
        error = self.pauses.judge(outcome, post, channel)
        pause = await self._books.failed(attempt, error, self.pauses.count(error))
        if pause is not None:
            self.pauses.pause(channel, error, self._around.monotonic() + pause / SECOND)


def _state(post: PostRow, *, elsewhere: bool) -> planning.PostState:
    return planning.PostState(
        shown_rev=post.shown_rev,
        announced_rev=post.announced_rev,
        living=post.remote is not None,
        elsewhere=elsewhere,
        digested=post.digest_id is not None,
        quiet=post.quiet,
        farewell=post.farewell,
        attached_rev=post.attached_rev,
        attached_at=post.attached_at,
        told_at=post.told_at,
    )


def _notice(due: Due, step: planning.Step, now: Millis) -> Notice:
    post = due.post
    only_instead = post.quiet and step.silent  # it comes for another message: nothing happened since then
    is_late = post.since is not None and now - post.since > LATE_AFTER and not only_instead
    remote = json.loads(post.remote) if post.remote else None
    if remote and remote.get("retry_revision", due.view.revision) != due.view.revision:
        remote.pop("retry_recipients", None)  # something newer goes to everybody
    return Notice(
        kind=step.kind,
        view=due.view,
        changes=step.changes,
        post_id=post.id,
        now=now,
        remote=remote,
        silent=step.silent,
        plain=post.plain,
        late=post.since if is_late else None,
        instead_of=post.instead_of,
    )
