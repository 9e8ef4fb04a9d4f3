"""One destination's worker: takes the post that is due, plans, renders, makes one call, records what came of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay import logs, planning, retry
from relay.clock import MINUTE, SECOND, Millis
from relay.delivery.outcome import failure_of, progress_of
from relay.limits import Limiter
from relay.notification import Channel, DeliveryError, Kind, Notice, Sent
from relay.store.database import StoreUnavailable
from relay.store.leases import Lease, LeaseLost
from relay.store.posts import (
    Due,
    Idle,
    next_due,
    record_contact,
    record_done,
    record_failure,
    record_progress,
    remember_move,
)
from relay.store.rows import PostRow

if TYPE_CHECKING:
    from relay.delivery import Surroundings

LOOK_EVERY = 5.0
"""Seconds. Events wake a worker; this is the net below them."""
LATE_AFTER: Millis = 10 * MINUTE
MANY_ALERTS = 200
"""Rendering more than so many takes long enough to be done beside the event loop."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be sent to a destination: its own limit and its account's."""

    destination: Limiter
    account: Limiter

    def delay(self, now: float, *, urgent: bool = False) -> float:
        return max(self.destination.delay(now, urgent=urgent), self.account.delay(now, urgent=urgent))

    def take(self, now: float) -> tuple[int, int]:
        return self.destination.take(now), self.account.take(now)

    def settle(self, tickets: tuple[int, int], now: float) -> None:
        self.destination.settle(tickets[0], now)
        self.account.settle(tickets[1], now)


class Worker:
    """Serves one destination; never two calls at once there, so an older state cannot overtake a newer one."""

    def __init__(self, destination: str, budget: Budget, around: Surroundings) -> None:
        self.destination = destination
        self.budget = budget
        self.channels: dict[str, Channel] = {}
        self._around = around
        self._woken = asyncio.Event()
        self._failures = 0
        self._paused_until = 0.0
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
            self._log.warning("lease lost, another replica serves this destination", destination=self.destination)
        except Exception:  # noqa: BLE001  the door of a delivery: a bug there must not stop the others
            self._around.metrics.errors.labels("delivery").inc()
            self._log.exception("delivery failed unexpectedly", destination=self.destination)
            await self._pause(5.0)

    async def _turn(self, stopping: asyncio.Event) -> None:
        self._woken.clear()
        if stopping.is_set():
            return
        lease = self._around.keeper.get(self.lease_name)
        wait = self._paused_until - self._around.monotonic()
        if lease is None or wait > 0:
            await self._pause(min(wait, LOOK_EVERY) if wait > 0 else 1.0)
            return
        found = await self._around.database.read(
            next_due, list(self.channels), self._around.clock(), several=self._around.several
        )
        if isinstance(found, Idle):
            await self._rest(found)
        else:
            await self._serve(found, lease)

    async def _rest(self, idle: Idle) -> None:
        wait = LOOK_EVERY if idle.until is None else (idle.until - self._around.clock()) / SECOND
        await self._pause(min(max(wait, 0.01), LOOK_EVERY))

    async def _pause(self, seconds: float) -> None:
        """Sleeps until something happens, but no longer than that."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _serve(self, due: Due, lease: Lease) -> None:
        post, view, now = due.post, due.view, self._around.clock()
        channel = self.channels[post.channel]
        state = planning.PostState(
            shown_rev=post.shown_rev,
            announced_rev=post.announced_rev,
            living=post.remote is not None,
            quiet=post.quiet,
            farewell=post.farewell,
            attached_rev=post.attached_rev,
            attached_at=post.attached_at,
            told_at=post.told_at,
        )
        step = planning.plan(state, view, channel.capabilities, overflows=channel.overflows(view), now=now)
        if not isinstance(step, planning.Step):
            until = step.at if isinstance(step, planning.Later) else None
            await self._around.database.write(record_done, post.id, view.revision, until, lease)
            return
        delay = self.budget.delay(self._around.monotonic())
        if delay > 0:  # wait first, then look again: what is sent must be the newest state
            self._around.metrics.rate_limited_seconds.labels(channel.name).inc(delay)
            await asyncio.sleep(min(delay, 1.0))
            return
        await self._call(post, channel, self._notice(post, due, step, now), lease)

    def _notice(self, post: PostRow, due: Due, step: planning.Step, now: Millis) -> Notice:
        late = post.since if post.since is not None and now - post.since > LATE_AFTER else None
        return Notice(
            kind=step.kind,
            view=due.view,
            changes=step.changes,
            post_id=post.id,
            now=now,
            remote=json.loads(post.remote) if post.remote else None,
            silent=step.silent,
            plain=post.plain,
            late=late,
        )

    async def _call(self, post: PostRow, channel: Channel, notice: Notice, lease: Lease) -> None:
        many = len(notice.view.alerts) > MANY_ALERTS
        content = await asyncio.to_thread(channel.render, notice) if many else channel.render(notice)
        if notice.kind is Kind.EDIT and content.fingerprint == post.fingerprint:
            same = Sent(remote=notice.remote or {})
            await self._record(record_progress, post.id, progress_of(notice, same, content.fingerprint), lease)
            return
        tickets = self.budget.take(self._around.monotonic())
        started = self._around.monotonic()
        try:
            sent = await channel.send(content)
        except DeliveryError as error:
            self.budget.settle(tickets, self._around.monotonic())
            await asyncio.shield(self._failed(post, channel, notice, error, lease))
            return
        self.budget.settle(tickets, self._around.monotonic())
        took = self._around.monotonic() - started
        await asyncio.shield(self._succeeded(post, channel, notice, sent, content.fingerprint, lease, took=took))

    async def _succeeded(
        self,
        post: PostRow,
        channel: Channel,
        notice: Notice,
        sent: Sent,
        fingerprint: str,
        lease: Lease,
        *,
        took: float,
    ) -> None:
        self._failures, self._paused_until = 0, 0.0
        await self._record(record_progress, post.id, progress_of(notice, sent, fingerprint), lease, channel=channel)
        outcome = "edited" if notice.kind in (Kind.EDIT, Kind.FAREWELL) else "sent"
        self._around.metrics.notifications.labels(channel.name, channel.type, outcome).inc()
        if post.since is not None:
            delay = max(self._around.clock() - post.since, 0) / SECOND
            self._around.metrics.notification_delay_seconds.labels(channel.type).observe(delay)
        self._say("info", outcome, post, channel, notice, seconds=round(took, 3))

    async def _failed(
        self, post: PostRow, channel: Channel, notice: Notice, error: DeliveryError, lease: Lease
    ) -> None:
        if error.reason == "gone" and not notice.view.open:  # deleted by hand, and over: nothing is missing
            await self._record(record_progress, post.id, progress_of(notice, Sent(remote={}), ""), lease)
            return
        now = self._around.clock()
        if error.scope == "destination" and error.reason != "moved":
            self._failures += 1
        decision = retry.decide(
            error,
            attempts=post.attempts + 1,
            failures=self._failures,
            age=max(now - (post.since if post.since is not None else now), 0),
            max_age=self._around.max_age[channel.name],
            plain=notice.plain,
            rng=self._around.rng,
        )
        if decision.pause is not None:
            self._paused_until = self._around.monotonic() + decision.pause / SECOND
        if error.moved_to is not None:
            await self._around.database.write(remember_move, channel.destination, json.dumps(dict(error.moved_to)))
            channel.follow(error.moved_to)
        failure = failure_of(error, decision, notice, now)
        await self._record(record_failure, post.id, failure, lease, channel=channel, error=error)
        outcome = "dead" if decision.dead else "retried"
        self._around.metrics.notifications.labels(channel.name, channel.type, outcome).inc()
        self._around.metrics.notification_failures.labels(channel.name, channel.type, error.reason).inc()
        more = {"reason": error.reason, "error": error.detail, "pause_ms": decision.pause}
        self._say("warning", outcome, post, channel, notice, **more)

    async def _record(
        self,
        function: Any,
        post_id: int,
        what: Any,
        lease: Lease,
        *,
        channel: Channel | None = None,
        error: DeliveryError | None = None,
    ) -> None:
        """Writes an outcome down, however long the store is away: forgetting it would send the message twice."""

        def work(conn: Any) -> None:
            now = self._around.clock()
            if function is record_progress:
                record_progress(conn, post_id, what, now, lease)
            else:
                function(conn, post_id, what, lease)
            if channel is not None:
                record_contact(conn, channel.name, now, (error.reason, error.detail) if error else None)

        while True:
            try:
                await self._around.database.write(work)
            except StoreUnavailable as unavailable:
                self._log.warning("outcome not recorded yet", destination=self.destination, error=str(unavailable))
                await asyncio.sleep(1.0)
            else:
                return

    def _say(self, level: str, outcome: str, post: PostRow, channel: Channel, notice: Notice, **more: object) -> None:
        getattr(self._log, level)(
            outcome,
            channel=channel.name,
            kind=notice.kind.value,
            group=notice.view.code,
            post=post.id,
            revision=notice.view.revision,
            firing=len(notice.view.firing),
            attempt=post.attempts + 1,
            **{name: value for name, value in more.items() if value is not None},
        )
