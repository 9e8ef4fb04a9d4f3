"""How each living digest should look now: kept from one step to the next, so that only what changed is made again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.clock import Millis
from relay.notification import Channel
from relay.notification_digest import DigestLayout, DigestView
from relay.store.digest_views import load_digest
from relay.store.digests import DigestRow

if TYPE_CHECKING:
    from relay.delivery import Surroundings

AFRESH = 300.0
"""Seconds: so often all of a digest is read and rendered again, whatever is known of changes: "today" ends, too."""
IDLE = 60.0
"""Seconds: what was not needed for so long is forgotten. A group takes 2 kB, and some digests live for days."""


@dataclass(frozen=True, slots=True)
class _Kept:
    layout: DigestLayout
    plain: bool
    since: float  # monotonic: made from nothing
    used: float


class DigestLayouts:
    """What a step costs depends on what has changed, hardly on how much there is."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._kept: dict[int, _Kept] = {}

    def forget_all_but(self, digest_ids: Collection[int]) -> None:
        """The others have ended; neither is any kept that is old or idle."""
        now = self._around.monotonic()
        self._kept = {
            digest_id: kept
            for digest_id, kept in self._kept.items()
            if digest_id in digest_ids and now - kept.since < AFRESH and now - kept.used < IDLE
        }

    async def view(self, row: DigestRow, *, appending: bool = False) -> DigestView:
        kept, around = self._kept.get(row.id), self._around
        before = kept.layout.view if kept else None
        return await around.database.read(
            load_digest, row, around.clock(), several=around.several, appending=appending, before=before
        )

    async def lay_out(self, row: DigestRow, channel: Channel, view: DigestView, now: Millis) -> DigestLayout:
        """Of a view that `view()` has given."""
        kept, monotonic = self._kept.get(row.id), self._around.monotonic()
        if kept is not None and kept.plain != row.plain:
            kept = None
        before = kept.layout if kept else None
        if before is not None and view.entries is before.view.entries and view == before.view:
            layout = before
        else:
            layout = await asyncio.to_thread(channel.lay_out, view, now, plain=row.plain, before=before)
        self._kept[row.id] = _Kept(layout, row.plain, kept.since if kept else monotonic, monotonic)
        return layout
