"""Writes down what came of a digest's calls, and what follows from a failed one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relay import logs, retry
from relay.clock import SECOND, Millis
from relay.delivery.outcome import refused_by
from relay.delivery.recording import Recording
from relay.notification import Channel, DeliveryError, Remote, Sent
from relay.notification_digest import DigestCall, DigestEntry, DigestLayout, DigestView
from relay.planning import DigestStep
from relay.retry import Decision
from relay.store.database import Connection
from relay.store.deliveries import bury_overdue
from relay.store.digests import AFTER, CLOSING, DigestRow, Message, absorb, release, save_digest
from relay.store.leases import Lease
from relay.store.posts import Failure

if TYPE_CHECKING:
    from relay.delivery import Surroundings
    from relay.delivery.pauses import Pauses


@dataclass(frozen=True, slots=True)
class DigestAttempt:
    """One call in hand: the digest as it was read, where it goes, how it should look, and the right to send it.

    `layout` is None for messages that are only taken away.
    """

    row: DigestRow
    channel: Channel
    view: DigestView
    layout: DigestLayout | None
    step: DigestStep
    lease: Lease


class DigestBooks:
    """One line of log for each call, and the outcome in the database, however long that is away."""

    def __init__(self, around: Surroundings, pauses: Pauses) -> None:
        self._around = around
        self._pauses = pauses
        self._recording = Recording(around.database)
        self._not_before: dict[int, float] = {}  # digest -> monotonic time
        self._log = logs.get("delivery")

    def free_at(self, row: DigestRow) -> float:
        """Monotonic time before which it is not tried again: its last call failed for a reason of its own."""
        return self._not_before.get(row.id, 0.0)

    async def settle(
        self, attempt: DigestAttempt, call: DigestCall, outcome: Sent | DeliveryError, *, appending: bool
    ) -> None:
        if isinstance(outcome, Sent):
            await self._succeeded(attempt, call, outcome, appending=appending)
        else:
            await self._failed(attempt, outcome)

    async def _succeeded(self, attempt: DigestAttempt, call: DigestCall, sent: Sent, *, appending: bool) -> None:
        channel, now = attempt.channel, self._around.clock()
        row, shown = stand_after(attempt, call, sent, now, appending=appending)
        if sent.retry_recipients:
            self._wait(row, retry.jitter(row.attempts + 1, retry.LONGEST, self._around.rng))
        self._pauses.worked(channel.name, _name_of(attempt))

        def work(conn: Connection) -> None:
            absorb(conn, row, shown, attempt.lease, appending=appending)

        refused = refused_by(sent)
        await self._recording.write_success(channel, now, work, refused=refused)
        metrics, outcome = self._around.metrics, "edited" if call.kind in ("edit", "remove") else "sent"
        metrics.notifications.labels(channel.name, channel.type, outcome).inc()
        for entry in shown:
            delay = max(now - (entry.waiting or now), 0) / SECOND
            metrics.notification_delay_seconds.labels(channel.type).observe(delay)
        self._log.info(f"digest {outcome}", **_what(attempt), shown=len(shown))
        if refused:
            metrics.notification_failures.labels(channel.name, channel.type, "not_found").inc()
            self._log.warning("digest refused for good", **_what(attempt), error=refused)

    async def _failed(self, attempt: DigestAttempt, error: DeliveryError) -> None:
        row, channel, now = attempt.row, attempt.channel, self._around.clock()
        judged = self._pauses.judge(error, _name_of(attempt), channel.name)
        decision = retry.decide(
            judged,
            attempts=row.attempts + 1,
            failures=self._pauses.count(judged),
            age=_age(attempt, now),
            max_age=self._around.max_age[channel.name],
            plain=row.plain,
            rng=self._around.rng,
        )
        if judged is not error and attempt.step.kind != "remove":
            # its own call fails while others go through: to try it again would only keep its incidents waiting
            decision = Decision(dead=True)

        def work(conn: Connection) -> int:
            return self._record_failure(conn, attempt, error, decision, now)

        buried = await self._recording.write_failure(channel, judged, now, work)
        if decision.pause is not None:
            self._pauses.pause(channel.name, error, self._around.monotonic() + decision.pause / SECOND)
        elif decision.post_wait:
            many_wait = row.state != CLOSING
            self._wait(row, min(decision.post_wait, retry.LONGEST) if many_wait else decision.post_wait)
        metrics = self._around.metrics
        metrics.notifications.labels(channel.name, channel.type, "retried").inc()
        metrics.notifications.labels(channel.name, channel.type, "dead").inc(buried)
        metrics.notification_failures.labels(channel.name, channel.type, error.reason).inc()
        self._log.warning("digest retried", **_what(attempt), reason=error.reason, error=error.detail)

    def _record_failure(
        self, conn: Connection, attempt: DigestAttempt, error: DeliveryError, decision: Decision, now: Millis
    ) -> int:
        """How many posts have waited for too long by now."""
        row, channel = attempt.row, attempt.channel
        if decision.dead and attempt.step.kind in ("post", "edit"):
            release(conn, row, now, attempt.lease)
        else:
            save_digest(conn, stand_after_failure(attempt, error, decision, now), attempt.lease)
        if decision.pause is None:
            return 0
        detail = f"given up after max_age; last: {error.reason}: {error.detail}"
        failure = Failure(reason="expired", detail=detail, due_at=None)
        return bury_overdue(conn, channel.name, now - self._around.max_age[channel.name], failure)

    def _wait(self, row: DigestRow, length: Millis) -> None:
        self._not_before[row.id] = self._around.monotonic() + length / SECOND


def stand_after(
    attempt: DigestAttempt, call: DigestCall, sent: Sent, now: Millis, *, appending: bool
) -> tuple[DigestRow, list[DigestEntry]]:
    """The digest after a call that went well, and the incidents that it shows since then."""
    row, layout, step = replace(attempt.row, attempts=0), attempt.layout, attempt.step
    if step.kind == "remove":
        return replace(row, pages=tuple(page for at, page in enumerate(row.pages) if at not in step.pages)), []
    assert layout is not None
    if step.kind == "attach":
        told = [] if call.recipients else _news(layout.listed)  # the others were told with the first try
        if sent.retry_recipients and row.head is not None:
            return replace(row, head=replace(row.head, remote=_remote(sent, None))), told
        done: dict[str, Any] = {"state": AFTER, "condensed": True} if row.state == CLOSING else {}
        return replace(row, listed_at=now, **done), told
    assert call.content is not None
    if not step.pages:
        return _with_head(row, layout, call, sent, now, appending=appending)
    position = step.pages[0]
    page = Message(remote=sent.remote, fingerprint=call.content.fingerprint, at=now, posted_at=now)
    if position < len(row.pages):
        page = replace(page, posted_at=row.pages[position].posted_at)
    pages = (*row.pages[:position], page, *row.pages[position + 1 :])
    return replace(row, pages=pages), _news(layout.named[position]) if position < len(layout.named) else []


def _with_head(
    row: DigestRow, layout: DigestLayout, call: DigestCall, sent: Sent, now: Millis, *, appending: bool
) -> tuple[DigestRow, list[DigestEntry]]:
    assert call.content is not None
    posted_at = row.head.posted_at if row.head else now
    remote = _remote(sent, layout.view.revision)
    head = Message(remote=remote, fingerprint=call.content.fingerprint, at=now, posted_at=posted_at)
    if sent.retry_recipients:  # told only when everybody was
        return replace(row, head=head), []
    return replace(row, head=head), _news(layout.listed if appending else layout.inline)


def _remote(sent: Sent, revision: int | None) -> Remote:
    """Where it stands, and who is to get it again as long as the digest has that revision (None: whatever it has)."""
    if not sent.retry_recipients:
        return sent.remote
    return {**sent.remote, "retry_recipients": list(sent.retry_recipients), "retry_revision": revision}


def stand_after_failure(attempt: DigestAttempt, error: DeliveryError, decision: Decision, now: Millis) -> DigestRow:
    """The digest after a call that failed: without a message that is gone, without formatting that is not taken."""
    row, step = replace(attempt.row, attempts=attempt.row.attempts + 1), attempt.step
    if decision.plain:
        return replace(row, plain=True)
    if error.reason == "moved" and row.head is not None:  # its messages stayed behind
        return replace(row, head=None, pages=())
    if decision.forget:
        gone = set(step.pages)
        head = None if step.kind == "edit" and not gone else row.head
        return replace(row, head=head, pages=tuple(page for at, page in enumerate(row.pages) if at not in gone))
    if decision.dead and step.kind == "attach":  # a list that nobody takes must not stop the digest
        return replace(row, listed_at=now, state=AFTER if row.state == CLOSING else row.state)
    if decision.dead and step.kind == "remove":
        return replace(row, pages=tuple(page for at, page in enumerate(row.pages) if at not in step.pages))
    return row


def _age(attempt: DigestAttempt, now: Millis) -> Millis:
    """For how long a storm's last message has waited. Of anything else not the digest has an age: its posts do."""
    ended_at = attempt.row.ended_at
    return max(now - ended_at, 0) if attempt.step.kind == "attach" and ended_at is not None else 0


def _name_of(attempt: DigestAttempt) -> tuple[int | str, ...]:
    """Each step by itself: a page may fail for ever while all others go through."""
    return attempt.row.id, attempt.step.kind, *attempt.step.pages


def _news(entries: tuple[DigestEntry, ...]) -> list[DigestEntry]:
    return [entry for entry in entries if entry.waiting is not None]


def _what(attempt: DigestAttempt) -> dict[str, object]:
    return {
        "channel": attempt.channel.name,
        "kind": attempt.step.kind,
        "digest": attempt.row.id,
        "page": attempt.step.pages[0] + 1 if attempt.step.pages else 0,
        "groups": len(attempt.view.entries),
        "firing": len(attempt.view.firing),
    }
