"""Writes down what came of each call: the post's new standing, the channel's health, metrics and one log line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay import logs, retry
from relay.clock import SECOND, Millis
from relay.delivery.outcome import failure_of, partial_of, progress_of, refused_by
from relay.delivery.recording import Recording
from relay.notification import Channel, DeliveryError, Kind, Notice, Sent
from relay.store.database import Connection
from relay.store.deliveries import bury_overdue
from relay.store.leases import Lease
from relay.store.posts import record_failure, record_left, record_progress
from relay.store.rows import PostRow

if TYPE_CHECKING:
    from relay.delivery import Surroundings


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call in hand: the post as it was read, where it goes, what is shown, and the right to do so.

    `leaves`: its message stands where the channel no longer writes, and is told so before it comes anew.
    """

    post: PostRow
    channel: Channel
    notice: Notice
    lease: Lease
    leaves: bool = False


class Bookkeeper:
    """One line of log for each attempt, and the outcome in the database, however long that is away."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._recording = Recording(around.database)
        self._log = logs.get("delivery")

    async def note_unchanged(self, attempt: Attempt) -> None:
        """The destination shows this already: nothing was sent."""
        same = progress_of(attempt.notice, Sent(remote=attempt.notice.remote or {}), attempt.post.fingerprint)
        now = self._around.clock()
        await self._recording.write(lambda conn: record_progress(conn, attempt.post.id, same, now, attempt.lease))

    async def succeeded(self, attempt: Attempt, sent: Sent, fingerprint: str) -> None:
        channel, post, now = attempt.channel, attempt.post, self._around.clock()
        progress = progress_of(attempt.notice, sent, fingerprint)
        wait = retry.jitter(post.attempts + 1, retry.LONGEST_POST, self._around.rng)
        partial = partial_of(attempt.notice, sent, now + wait)

        def work(conn: Connection) -> None:
            if attempt.leaves:
                record_left(conn, post.id, now, attempt.lease)
                return
            record_progress(conn, post.id, progress, now, attempt.lease)
            if partial is not None:
                record_failure(conn, post.id, partial, attempt.lease)

        await self._recording.write_success(channel, now, work, refused=refused_by(sent))
        outcome = "edited" if attempt.notice.kind in (Kind.EDIT, Kind.FAREWELL) else "sent"
        self._around.metrics.notifications.labels(channel.name, channel.type, outcome).inc()
        if post.since is not None:
            delay = max(now - post.since, 0) / SECOND
            self._around.metrics.notification_delay_seconds.labels(channel.type).observe(delay)
        if partial is None:
            self._log.info(outcome, **self._what(attempt))
        else:
            self._around.metrics.notification_failures.labels(channel.name, channel.type, partial.reason).inc()
            self._log.warning(outcome, **self._what(attempt), reason=partial.reason, error=partial.detail)

    async def failed(self, attempt: Attempt, error: DeliveryError, failures: int) -> Millis | None:
        """Records a failure; how long the whole destination must pause, if at all."""
        if attempt.leaves and error.scope == "post" and error.permanent:
            await self._leave_untold(attempt, error)
            return None
        over = not attempt.notice.view.open
        if error.reason == "gone" and over and not error.stands:  # deleted by hand: nothing is missing
            await self.note_unchanged(attempt)
            return None
        post, channel, now = attempt.post, attempt.channel, self._around.clock()
        decision = retry.decide(
            error,
            attempts=post.attempts + 1,
            failures=failures,
            age=max(now - (post.since if post.since is not None else now), 0),
            max_age=self._around.max_age[channel.name],
            plain=attempt.notice.plain or attempt.notice.kind is Kind.ATTACH,  # a list has no formatting to lose
            rng=self._around.rng,
        )
        if decision.dead and attempt.notice.kind is Kind.ATTACH and error.scope == "post":
            await self._skip_list(attempt, error)  # a list that nobody takes must not bury the message
            return None
        failure = failure_of(error, decision, attempt.notice, now)
        overdue = now - self._around.max_age[channel.name] if decision.dead and decision.pause is not None else None

        def work(conn: Connection) -> int:
            record_failure(conn, post.id, failure, attempt.lease)
            return bury_overdue(conn, channel.name, overdue, failure) if overdue is not None else 0

        buried = await self._recording.write_failure(channel, error, now, work)
        outcome = "dead" if decision.dead else "retried"
        self._around.metrics.notifications.labels(channel.name, channel.type, outcome).inc(1 + buried)
        self._around.metrics.notification_failures.labels(channel.name, channel.type, error.reason).inc()
        more = {} if decision.pause is None else {"pause_ms": decision.pause}
        self._log.warning(outcome, **self._what(attempt), reason=error.reason, error=error.detail, **more)
        return decision.pause

    async def _leave_untold(self, attempt: Attempt, error: DeliveryError) -> None:
        """Nothing can be changed where the message stands: that must not keep it from the place that is right now."""
        post, channel, now = attempt.post, attempt.channel, self._around.clock()
        await self._recording.write(lambda conn: record_left(conn, post.id, now, attempt.lease))
        self._around.metrics.notification_failures.labels(channel.name, channel.type, error.reason).inc()
        self._log.warning("former message not changed", **self._what(attempt), reason=error.reason, error=error.detail)

    async def _skip_list(self, attempt: Attempt, error: DeliveryError) -> None:
        post, channel, now = attempt.post, attempt.channel, self._around.clock()
        skipped = progress_of(attempt.notice, Sent(remote={}), "")
        await self._recording.write(lambda conn: record_progress(conn, post.id, skipped, now, attempt.lease))
        self._around.metrics.notification_failures.labels(channel.name, channel.type, error.reason).inc()
        self._log.warning("list not attached", **self._what(attempt), reason=error.reason, error=error.detail)

    def _what(self, attempt: Attempt) -> dict[str, object]:
        view = attempt.notice.view
        return {
            "channel": attempt.channel.name,
            "kind": attempt.notice.kind.value,
            "group": view.code,
            "post": attempt.post.id,
            "revision": view.revision,
            "firing": len(view.firing),
            "attempt": attempt.post.attempts + 1,
        }
