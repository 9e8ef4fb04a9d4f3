"""Serves the digests of one destination: begins and ends them, and makes their next call when the budget allows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from relay import logs, planning
from relay.clock import SECOND, Millis
from relay.delivery.digest_books import DigestAttempt, DigestBooks
from relay.notification import Channel, DeliveryError, Sent
from relay.notification_digest import DigestCall, DigestEntry, DigestLayout, DigestView
from relay.planning import Allowance, Backlog, DigestState, DigestStep, Later, Shown, Storm
from relay.store.digest_views import load_digest
from relay.store.digests import (
    AFTER,
    CLOSING,
    OVER,
    STORM,
    DigestRow,
    Look,
    Message,
    absorb,
    note_own,
    open_digest,
    promote,
    save_digest,
)
from relay.store.leases import Lease
from relay.store.posts import Due

if TYPE_CHECKING:
    from relay.delivery import Surroundings
    from relay.delivery.budget import Budget
    from relay.delivery.pauses import Pauses

LOOK_AGAIN = 30.0
"""Seconds: so often a digest is compared with the state, whatever is known of changes."""
AFTERWARDS = 20
"""So many incidents get messages of their own when a storm is over; the others stay in the digest."""

ServePost = Callable[[Due, Lease, int], Awaitable[bool]]
"""Serves one post and leaves that many tokens; whether a message of its own went out that tells something."""


class Digests:
    """The digests of the channels of one destination."""

    def __init__(
        self, channels: Mapping[str, Channel], budget: Budget, pauses: Pauses, around: Surroundings, serve: ServePost
    ) -> None:
        self._channels = channels
        self._budget = budget
        self._around = around
        self._serve_post = serve
        self._books = DigestBooks(around, pauses)
        self._true_until: dict[int, float] = {}  # monotonic time; sooner only if something of it changes
        self._log = logs.get("delivery")

    @property
    def appending(self) -> bool:
        """All channels of a destination are of one kind."""
        return not any(channel.capabilities.editable for channel in self._channels.values())

    def kept(self, seen: Look) -> int:
        """Tokens that edits must leave to critical incidents of a storm."""
        return planning.own_left(_storm(seen.storms[0]), self._around.clock()) if seen.storms else 0

    async def turn(self, seen: Look, lease: Lease) -> bool:
        """Does the next thing that concerns a digest; False if there is none, so that a post may be served."""
        now = self._around.clock()
        decision = self._decide(seen, now)
        if decision is None:
            for row in seen.storms:
                await self._end(row, lease)
            return bool(seen.storms) or await self._advance(self._unsettled(seen, CLOSING, AFTER), lease, keep=0)
        if await self._begin(seen, now, lease):
            return True
        for row in seen.storms:
            if row.calm_since != decision.calm_since:
                await self._around.database.write(save_digest, replace(row, calm_since=decision.calm_since), lease)
                return True
        if seen.urgent is not None and decision.own and await self._tell_alone(seen.urgent, seen, lease, decision.own):
            return True
        if await self._advance([row for row in seen.storms if row.head is None], lease, keep=0):
            return True
        return await self._advance(self._unsettled(seen, STORM, CLOSING, AFTER), lease, keep=decision.own)

    def _decide(self, seen: Look, now: Millis) -> planning.Digest | None:
        if seen.crowd is None:
            return None
        crowd = sum(seen.crowd.values())
        drained = self._budget.drain(crowd, self._around.monotonic())
        counting = next(
            iter(seen.storms), None
        )  # channels that share a chat share what its critical incidents may have
        backlog = Backlog(posts=crowd, now=now, storm=_storm(counting) if counting else None)
        return planning.plan_destination(backlog, Allowance(int(drained * SECOND)))

    def _unsettled(self, seen: Look, *states: str) -> list[DigestRow]:
        """Digests that may no longer be true, or whose next edit was put off until now."""
        now, crowd = self._around.monotonic(), seen.crowd or {}
        return [
            row
            for row in seen.digests
            if row.state in states
            and (row.id in seen.stale or crowd.get(row.channel) or now >= self._true_until.get(row.id, 0.0))
        ]

    # -- begin and end ---------------------------------------------------------------------------------------------

    async def _begin(self, seen: Look, now: Millis, lease: Lease) -> bool:
        """A digest for each channel that has something to announce and none yet; whether there was one to begin."""
        present = {row.channel for row in seen.storms}
        missing = [name for name, count in (seen.crowd or {}).items() if count and name not in present]
        for name in missing:
            row = DigestRow(id=self._around.new_id(), channel=name, state=STORM, began_at=now)
            await self._around.database.write(open_digest, row, lease, appending=self.appending)
            self._log.info("storm begins", channel=name, posts=(seen.crowd or {})[name])
        return bool(missing)

    async def _end(self, row: DigestRow, lease: Lease) -> None:
        now = self._around.clock()
        view = await self._view(row)
        self._log.info("storm is over", channel=row.channel, groups=len(view.entries), firing=len(view.firing))
        if row.head is None or self.appending:
            await self._around.database.write(save_digest, replace(row, state=OVER, ended_at=now), lease)
            return
        told = {
            "groups": len(view.entries),
            "alerts": view.alerts,
            "critical": sum(entry.severity.label == "critical" for entry in view.entries),
        }
        crowded_pages = bool(row.pages) and len(view.firing) < len(view.entries)
        channel = self._channels[row.channel]
        state = CLOSING if crowded_pages and channel.capabilities.attachable else AFTER
        ended = replace(row, state=state, ended_at=now, told=told)
        matters = [entry.post_id for entry in view.entries if entry.matters and not entry.own][:AFTERWARDS]
        await self._around.database.write(promote, ended, matters, now, lease)

    async def _tell_alone(self, due: Due, seen: Look, lease: Lease, left: int) -> bool:
        """A critical incident of the storm in a message of its own."""
        if not await self._serve_post(due, lease, 0):
            return True
        now, counting = self._around.clock(), seen.storms[0]
        first = left == planning.MOST_OWN
        counted = replace(counting, own=1, own_since=now) if first else replace(counting, own=counting.own + 1)
        here = next((row.id for row in seen.storms if row.channel == due.post.channel), None)
        await self._around.database.write(note_own, counted, due.post.id, here, lease)
        return True

    # -- the next call ---------------------------------------------------------------------------------------------

    async def _advance(self, rows: Sequence[DigestRow], lease: Lease, *, keep: int) -> bool:
        """One call for the first of these digests that needs one; whether anything was done or waited for."""
        for row in rows:
            if self._books.waits(row):
                continue
            delay = self._budget.delay(self._around.monotonic(), keep=keep)
            if delay > 0:  # what is sent must be the newest state: look again then
                wait = min(delay, 1.0)
                self._around.metrics.rate_limited_seconds.labels(row.channel).inc(wait)
                await self._around.rest(wait, None)
                return True
            if await self._step(row, lease):
                return True
        return False

    async def _step(self, row: DigestRow, lease: Lease) -> bool:
        now, channel = self._around.clock(), self._channels[row.channel]
        view = await self._view(row)
        if not view.entries and row.head is None:
            await self._around.database.write(save_digest, replace(row, state=OVER, ended_at=now), lease)
            return True
        layout = await asyncio.to_thread(channel.lay_out, view, now, plain=row.plain)
        step = self._plan(row, layout, channel, now)
        if isinstance(step, DigestStep):
            await self._make(DigestAttempt(row, channel, view, layout, step, lease))
            return True
        wait = min((step.at - now) / SECOND, LOOK_AGAIN) if isinstance(step, Later) else LOOK_AGAIN
        self._true_until[row.id] = self._around.monotonic() + wait
        settled = [] if self.appending else shown_already(row, layout)
        done = row.state == AFTER and step is None and not view.open
        if settled or done:
            state = OVER if done else row.state
            await self._around.database.write(
                absorb, replace(row, state=state), settled, lease, appending=self.appending
            )
        return bool(settled)

    async def _view(self, row: DigestRow) -> DigestView:
        around = self._around
        return await around.database.read(
            load_digest, row, around.clock(), several=around.several, appending=self.appending
        )

    def _plan(self, row: DigestRow, layout: DigestLayout, channel: Channel, now: Millis) -> DigestStep | Later | None:
        state = DigestState(
            head=_shown(row.head) if row.head else None,
            pages=tuple(_shown(page) for page in row.pages),
            listed_at=row.listed_at,
            record=row.state == CLOSING,
        )
        if self.appending:
            return planning.plan_summary(state, layout, now=now)
        return planning.plan_digest(state, layout, removes=channel.capabilities.removes, now=now)

    async def _make(self, attempt: DigestAttempt) -> None:
        call = call_of(attempt)
        self._around.keeper.confirm(attempt.lease)
        tickets = self._budget.take(self._around.monotonic())
        outcome: Sent | DeliveryError
        try:
            outcome = await attempt.channel.send_digest(call)
        except DeliveryError as error:
            outcome = error
        finally:
            self._budget.settle(tickets, self._around.monotonic())
        # as with posts: what is known must be written down, whoever cancels us
        await asyncio.shield(self._books.settle(attempt, call, outcome, appending=self.appending))


def call_of(attempt: DigestAttempt) -> DigestCall:
    """The remote call of a step. Only the head of a storm rings, and it does so once."""
    row, layout, step = attempt.row, attempt.layout, attempt.step
    head = row.head.remote if row.head else None
    if step.kind == "remove":
        return DigestCall(kind="remove", remote=head, remotes=tuple(row.pages[at].remote for at in step.pages))
    if step.kind == "attach":
        return DigestCall(kind="attach", content=layout.listing, remote=head)
    position = step.pages[0] if step.pages else None
    if position is None:
        again = (head or {}).get("retry_recipients") or ()
        silent = attempt.view.silent or bool(attempt.view.ended_at)
        return DigestCall(
            kind=step.kind,
            content=layout.head,
            remote=head if step.kind == "edit" else None,
            silent=silent,
            recipients=tuple(again),
        )
    content = layout.pages[position] if position < len(layout.pages) else layout.blank
    return DigestCall(
        kind=step.kind, content=content, remote=row.pages[position].remote if step.kind == "edit" else head
    )


def shown_already(row: DigestRow, layout: DigestLayout) -> list[DigestEntry]:
    """What changed and yet looks as it is shown."""
    named = [*zip(layout.pages, layout.named, row.pages, strict=False)]
    found = [entry for content, entries, page in named if content.fingerprint == page.fingerprint for entry in entries]
    if row.head is not None and row.head.fingerprint == layout.head.fingerprint:
        found += layout.inline
    return [entry for entry in found if entry.waiting is not None]


def _storm(row: DigestRow) -> Storm:
    return Storm(calm_since=row.calm_since, own=row.own, own_since=row.own_since)


def _shown(message: Message) -> Shown:
    return Shown(fingerprint=message.fingerprint, at=message.at, posted_at=message.posted_at)
