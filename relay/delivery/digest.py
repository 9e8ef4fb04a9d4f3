"""Serves the digests of one destination: begins and ends them, and makes their next call when the budget allows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relay import logs, planning
from relay.clock import SECOND, Millis
from relay.delivery.digest_books import DigestAttempt, DigestBooks
from relay.delivery.digest_calls import call_of, shown_already, standing_of, unreached
from relay.delivery.digest_layouts import DigestLayouts
from relay.delivery.digest_rests import DigestRests
from relay.notification import Channel, DeliveryError, Sent
from relay.notification_digest import DigestLayout, DigestView
from relay.planning import Allowance, Backlog, DigestStep, Storm
from relay.store.digests import (
    AFTER,
    CLOSING,
    OVER,
    REFUSED,
    STORM,
    DigestRow,
    Look,
    absorb,
    last_told_at,
    note_own,
    open_digest,
    promote,
    release,
    save_digest,
)
from relay.store.leases import Lease
from relay.store.posts import Due

if TYPE_CHECKING:
    from relay.delivery import Surroundings
    from relay.delivery.budget import Budget
    from relay.delivery.pauses import Pauses

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
        self._pauses = pauses
        self._serve_post = serve
        self._books = DigestBooks(around, pauses)
        self._layouts = DigestLayouts(around)
        self._rests = DigestRests(around.monotonic)
        self._log = logs.get("delivery")

    @property
    def appending(self) -> bool:
        """All channels of a destination are of one kind."""
        return not any(channel.capabilities.editable for channel in self._channels.values())

    def kept(self, seen: Look) -> int:
        """Tokens that edits must leave to critical incidents of a storm."""
        return planning.own_left(_storm(seen.storms[0]), self._around.clock()) if seen.storms else 0

    @property
    def rest(self) -> float:
        """After a turn in which there was nothing to do: seconds until a digest is to be looked at again."""
        return self._rests.left

    async def turn(self, seen: Look, lease: Lease) -> bool:
        """Does the next thing that concerns a digest; False if there is none, so that a post may be served."""
        self._forget_all_but(seen)
        now = self._around.clock()
        decision = self._decide(seen, now)
        if decision is None:
            for row in seen.storms:
                await self._end(row, lease)
            rows = self._unsettled(seen, CLOSING, AFTER, REFUSED)
            return bool(seen.storms) or await self._advance(rows, seen, lease, keep=0)
        if await self._begin(seen, now, lease):
            return True
        for row in seen.storms:
            if row.calm_since != decision.calm_since:
                await self._around.database.write(save_digest, replace(row, calm_since=decision.calm_since), lease)
                return True
        if seen.urgent is not None and decision.own and await self._tell_alone(seen.urgent, seen, lease, decision.own):
            return True
        if await self._advance([row for row in seen.storms if row.head is None], seen, lease, keep=0):
            return True
        return await self._advance(
            self._unsettled(seen, STORM, CLOSING, AFTER, REFUSED), seen, lease, keep=decision.own
        )

    def _decide(self, seen: Look, now: Millis) -> planning.Digest | None:
        if seen.crowd is None:
            return None
        crowd = sum(seen.crowd.values())
        drained = self._budget.drain(crowd, self._around.monotonic())
        # channels that share a chat share what its critical incidents may have
        counting = next(iter(seen.storms), None)
        storm = replace(_storm(counting), ended_at=seen.ended_at) if counting else None
        backlog = Backlog(posts=crowd, now=now, storm=storm)
        return planning.plan_destination(backlog, Allowance(int(drained * SECOND)))

    def _forget_all_but(self, seen: Look) -> None:
        alive = {row.id for row in seen.digests if row.state in (STORM, CLOSING, AFTER)}
        self._layouts.forget_all_but(alive)
        self._rests.begin_turn(alive)

    def _unsettled(self, seen: Look, *states: str) -> list[DigestRow]:
        """Digests that may no longer be true, or whose next edit was put off until now."""
        crowd, found = seen.crowd or {}, []
        for row in seen.digests:
            if row.state not in states or (row.state == REFUSED and not row.pages):
                continue
            changed = row.id in seen.stale or bool(crowd.get(row.channel))
            if self._rests.are_over(row.id, changed=changed, not_before=self._books.free_at(row)):
                found.append(row)
        return found

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
        self._rests.end(row.id)  # it is to look otherwise from now on
        view = await self._layouts.view(row, appending=self.appending)
        self._log.info("storm is over", channel=row.channel, groups=len(view.entries), firing=len(view.firing))
        if row.head is None:
            await self._around.database.write(save_digest, replace(row, state=OVER, ended_at=now), lease)
            return
        told = {
            "groups": len(view.entries),
            "alerts": view.alerts,
            "critical": sum(entry.severity.label == "critical" for entry in view.entries),
        }
        ended = replace(row, state=CLOSING if self._has_record(row, view) else AFTER, ended_at=now, told=told)
        matters = [entry.post_id for entry in view.entries if entry.matters and not entry.own][:AFTERWARDS]
        await self._around.database.write(promote, ended, [] if self.appending else matters, now, lease)

    def _has_record(self, row: DigestRow, view: DigestView) -> bool:
        """A file that keeps what the pages will no longer name; where nothing can be edited, a last message."""
        condenses = bool(row.pages) and len(view.firing) < len(view.entries)
        return self.appending or (condenses and self._channels[row.channel].capabilities.attachable)

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

    async def _advance(self, rows: Sequence[DigestRow], seen: Look, lease: Lease, *, keep: int) -> bool:
        """One call for the first of these digests that needs one; whether anything was done or waited for."""
        failed = self._pauses.failed_digests
        if await self._advance_first([row for row in rows if row.id not in failed], lease, keep=keep):
            return True
        # as with posts: another message goes first, and shows whether the digest is to blame itself
        rest = [row for row in rows if row.id in failed]
        if rest and seen.storms and seen.urgent is not None:
            return await self._tell_alone(seen.urgent, seen, lease, 0)
        if rest and isinstance(seen.due, Due):
            return False
        return await self._advance_first(rest, lease, keep=keep)

    async def _advance_first(self, rows: Sequence[DigestRow], lease: Lease, *, keep: int) -> bool:
        for row in rows:
            if self._books.free_at(row) > self._around.monotonic():
                self._rests.put_off(self._books.free_at(row))
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
        if row.state == REFUSED:
            return await self._take_away(row, lease)
        if self.appending:
            return await self._append(row, lease)
        now, channel = self._around.clock(), self._channels[row.channel]
        if row.head is not None and channel.is_elsewhere(row.head.remote):  # the config names another place now
            await self._around.database.write(release, row, now, lease, moved=True)
            return True
        view = await self._layouts.view(row)
        if not view.entries and row.head is None:
            return await self._is_over(row, lease)
        layout = await self._laid_out(row, self._layouts.lay_out(row, channel, view, now), lease)
        if layout is None:
            return True
        step = planning.plan_digest(standing_of(row), layout, removes=channel.capabilities.removes, now=now)
        if isinstance(step, DigestStep):
            await self._make(DigestAttempt(row, channel, view, layout, step, lease))
            return True
        self._rests.begin(row.id, step, now, appending=self.appending)
        settled = shown_already(row, layout)
        done = row.state == AFTER and step is None and not view.open
        if settled or done:
            state = OVER if done else row.state
            await self._around.database.write(absorb, replace(row, state=state), settled, lease, appending=False)
        return bool(settled)

    async def _take_away(self, row: DigestRow, lease: Lease) -> bool:
        """Nobody keeps true what a digest that was given up has left behind: its incidents have messages of their own."""
        now, channel = self._around.clock(), self._channels[row.channel]
        step = planning.plan_removal(standing_of(row), removes=channel.capabilities.removes, now=now)
        if step is None:
            await self._around.database.write(save_digest, replace(row, pages=()), lease)
        else:
            nothing = DigestView(id=row.id, entries=(), began_at=row.began_at)
            await self._make(DigestAttempt(row, channel, nothing, None, step, lease))
        return True

    async def _append(self, row: DigestRow, lease: Lease) -> bool:
        """The same where nothing can be edited: what is not sent is not read or rendered either."""
        if row.state == AFTER:
            return await self._is_over(row, lease)
        now, channel, last = self._around.clock(), self._channels[row.channel], row.state == CLOSING
        told_at = row.head.at if row.head else await self._around.database.read(last_told_at, row.channel)
        step = planning.plan_summary(news=True, last=last, told_at=told_at, now=now)
        if isinstance(step, DigestStep) or (row.head and row.head.remote.get("retry_recipients")):
            view = await self._layouts.view(row, appending=True)
            if not view.entries:
                return await self._is_over(row, lease)
            news = any(entry.waiting is not None for entry in view.entries)
            told_at = None if unreached(row, view) else told_at
            step = planning.plan_summary(news=news, last=last, told_at=told_at, now=now)
        if isinstance(step, DigestStep):
            layout = await self._laid_out(row, asyncio.to_thread(channel.lay_out, view, now, plain=row.plain), lease)
            if layout is not None:
                await self._make(DigestAttempt(row, channel, view, layout, step, lease))
            return True
        self._rests.begin(row.id, step, now, appending=self.appending)
        return False

    async def _laid_out(
        self, row: DigestRow, layout: Coroutine[Any, Any, DigestLayout], lease: Lease
    ) -> DigestLayout | None:
        """None: it cannot be rendered. Its incidents go their own way, since to try it again and again would stop them."""
        try:
            return await layout
        except Exception:  # noqa: BLE001  whatever it is, it concerns this digest alone
            self._around.metrics.errors.labels("delivery").inc()
            self._log.exception("digest cannot be rendered", channel=row.channel, digest=row.id)
            await self._around.database.write(release, row, self._around.clock(), lease)
            return None

    async def _is_over(self, row: DigestRow, lease: Lease) -> bool:
        over = replace(row, state=OVER, ended_at=row.ended_at or self._around.clock())
        await self._around.database.write(save_digest, over, lease)
        return True

    async def _make(self, attempt: DigestAttempt) -> None:
        self._rests.end(attempt.row.id)  # after any call there may be another to make
        call = await asyncio.to_thread(call_of, attempt)
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


def _storm(row: DigestRow) -> Storm:
    return Storm(calm_since=row.calm_since, own=row.own, own_since=row.own_since)
