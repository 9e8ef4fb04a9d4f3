"""The next call of a digest: its head first, then new pages, then what is behind, the longest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from relay.clock import HOUR, MINUTE, SECOND, Millis
from relay.notification import Content
from relay.notification_digest import DigestLayout
from relay.planning.posts import Later

SOONEST: Millis = 4 * SECOND
LATEST: Millis = 15 * SECOND
"""A message of a digest is edited no sooner than that after its last edit: often while it is young, seldom later."""
LIST_ONCE_IN: Millis = 5 * MINUTE
APPEND_ONCE_IN: Millis = MINUTE
"""Where nothing can be edited, the digest is a message of its own each time."""
REMOVABLE: Millis = 47 * HOUR
"""Telegram deletes messages of the last 48 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One message of a digest as it stands at the destination."""

    fingerprint: str
    at: Millis  # last sent or edited
    posted_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestState:
    """What the destination has of a digest. `record`: the storm is over, and a file is to keep what pages no longer name.

    Where nothing can be edited, that is one last message.
    """

    head: Shown | None = None
    pages: tuple[Shown, ...] = ()
    listed_at: Millis | None = None
    record: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestStep:
    """One remote call to make. `pages` are the positions of what is meant; the head has none."""

    kind: Literal["post", "edit", "remove", "attach"]
    pages: tuple[int, ...] = ()


def plan_digest(state: DigestState, layout: DigestLayout, *, removes: int, now: Millis) -> DigestStep | Later | None:
    """The next step of a digest that can be edited; None when it shows everything.

    Args:
        state: what the destination has.
        layout: what it should have.
        removes: how many messages one call can remove.
        now: the time.
    """
    if state.head is None:
        return DigestStep(kind="post")
    age = max(now - state.head.posted_at, 0)
    interval = min(max(age // 2, SOONEST), LATEST)
    late = _behind(state, layout, now)
    due = [one for one in late if not 0 <= now - one[0] < interval]
    if any(not pages for _, pages in due):
        return DigestStep(kind="edit")
    if state.record and layout.listing is not None:
        return DigestStep(kind="attach")
    if len(state.pages) < len(layout.pages):
        return DigestStep(kind="post", pages=(len(state.pages),))
    if due:
        return DigestStep(kind="edit", pages=min(due)[1])
    if surplus := _surplus(state, layout, now):
        return DigestStep(kind="remove", pages=surplus[-removes:])
    waiting = [at + interval for at, _ in late]
    if any(entry.waiting is not None for entry in layout.listed):
        listed_at = state.listed_at
        if listed_at is None or not 0 <= now - listed_at < LIST_ONCE_IN:
            return DigestStep(kind="attach")
        waiting.append(listed_at + LIST_ONCE_IN)
    return Later(min(waiting)) if waiting else None


def plan_removal(state: DigestState, *, removes: int, now: Millis) -> DigestStep | None:
    """What one call can take away of the messages of a digest that was given up, the last first; None when that is all."""
    there = [position for position, shown in enumerate(state.pages) if removes and _removable(shown, now)]
    return DigestStep(kind="remove", pages=tuple(there[-removes:])) if there else None


def plan_summary(*, news: bool, last: bool, told_at: Millis | None, now: Millis) -> DigestStep | Later | None:
    """The same where nothing can be edited: a message when there is news, at most one a minute, and a last one.

    Args:
        news: there is something to tell.
        last: the storm is over, and the message says so.
        told_at: when the channel had its last message of a digest, be it of the storm before.
        now: the time.
    """
    if not news and not last:
        return None
    if told_at is not None and 0 <= now - told_at < APPEND_ONCE_IN:
        return Later(told_at + APPEND_ONCE_IN)
    return DigestStep(kind="attach" if last else "post")


def _behind(state: DigestState, layout: DigestLayout, now: Millis) -> list[tuple[Millis, tuple[int, ...]]]:
    """What looks other than it should, with when it was last touched: the head as (), pages by their positions."""
    assert state.head is not None
    found: list[tuple[Millis, tuple[int, ...]]] = []
    if state.head.fingerprint != layout.head.fingerprint:
        found.append((state.head.at, ()))
    for position, shown in enumerate(state.pages):
        wanted: Content | None = layout.pages[position] if position < len(layout.pages) else None
        if wanted is None and not _removable(shown, now):
            wanted = layout.blank
        if wanted is not None and wanted.fingerprint != shown.fingerprint:
            found.append((shown.at, (position,)))
    return found


def _surplus(state: DigestState, layout: DigestLayout, now: Millis) -> tuple[int, ...]:
    positions = range(len(layout.pages), len(state.pages))
    return tuple(position for position in positions if _removable(state.pages[position], now))


def _removable(shown: Shown, now: Millis) -> bool:
    return now - shown.posted_at < REMOVABLE
