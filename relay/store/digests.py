"""The digests of a destination: whether it needs one, which there are, and what came of their calls."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, delete, func, insert, or_, select, true, update

from relay.clock import DAY, MINUTE, Millis
from relay.notification import Remote
from relay.notification_digest import DigestEntry
from relay.severity import Severity
from relay.store.leases import Lease, check
from relay.store.loud import RING, count_loud, is_loud, loud_posts
from relay.store.posts import Due, Idle, hold_groups, newest_revision, next_due
from relay.store.schema import digests, incidents, posts

STORM, CLOSING, AFTER, OVER, REFUSED = "storm", "closing", "after", "over", "refused"
"""On; over, with a file to send; over, kept true while something fires; done; not taken by the platform."""
REFUSED_FOR: Millis = 10 * MINUTE
"""A digest that the platform does not take is not tried again for so long; posts go their own way meanwhile."""
JUST: Millis = 2 * MINUTE
KEEP: Millis = 7 * DAY
"""Digests that are done are kept for the buttons below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a digest as it stands at the destination."""

    remote: Remote
    fingerprint: str
    at: Millis
    posted_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRow:
    """A digest of a channel."""

    id: int
    channel: str
    state: str
    began_at: Millis
    ended_at: Millis | None = None
    calm_since: Millis | None = None
    own: int = 0
    own_since: Millis | None = None
    head: Message | None = None
    pages: tuple[Message, ...] = ()
    listed_at: Millis | None = None
    told: Mapping[str, int] | None = None
    condensed: bool = False
    plain: bool = False
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a destination has to do.

    Of a storm, `due` is what only changes, and `urgent` what rings and is critical, or just rings if its digest has failed.
    `crowd` counts, by channel, posts that must announce something; `stale` are digests with incidents that have changed.
    `ended_at`: when the last of the storm did; None while something of it fires.
    """

    due: Due | Idle
    digests: tuple[DigestRow, ...] = ()
    urgent: Due | None = None
    crowd: Mapping[str, int] | None = None
    stale: frozenset[int] = frozenset()
    ended_at: Millis | None = None

    @property
    def storms(self) -> tuple[DigestRow, ...]:
        return tuple(row for row in self.digests if row.state == STORM)


def look(
    conn: Connection,
    channels: Sequence[str],
    now: Millis,
    *,
    several: bool,
    appending: bool,
    after: Collection[int] = (),
    failed: Collection[int | str] = (),
) -> Look:
    """The post to serve and, if there is more than a few or a digest already, what a digest must know.

    Args:
        conn: the transaction.
        channels: those that may be served now.
        now: the time.
        several: name the cluster in texts.
        appending: each change is a message of its own there.
        after: posts that come after all others, and after what a storm has to tell.
        failed: digests that come after all others.
    """
    rows = living_digests(conn, channels, now)
    stale = _stale(conn, [row.id for row in rows])
    if any(row.state == STORM for row in rows):
        only = [~is_loud(appending=appending), *([] if appending else [_shown_alone()])]
        quiet = next_due(conn, channels, now, several=several, only=only, after=after)
        critical = (posts.c.rank >= RING + Severity.CRITICAL, posts.c.id.not_in(after))
        alone = (is_loud(appending=appending),) if any(row.id in failed for row in rows) else critical
        urgent = next_due(conn, channels, now, several=several, only=alone, after=after)
        crowd = count_loud(conn, channels, now, appending=appending)
        ended_at = _ended_at(conn, [row.id for row in rows if row.state == STORM])
        return Look(quiet, rows, urgent if isinstance(urgent, Due) else None, crowd, stale, ended_at)
    held = [row.id for row in rows if row.state in (CLOSING, AFTER)]
    due = next_due(conn, channels, now, several=several, only=[_served_alone(held)] if held else (), after=after)
    refused = any(row.state == REFUSED and (row.ended_at or 0) > now - REFUSED_FOR for row in rows)
    if isinstance(due, Idle) or not due.crowded or refused:
        return Look(due, rows, stale=stale)
    return Look(due, rows, crowd=count_loud(conn, channels, now, appending=appending), stale=stale)


_LIVING = (
    select(digests)
    .where(
        digests.c.channel.in_(bindparam("channels", expanding=True)),
        or_(
            digests.c.state.in_((STORM, CLOSING, AFTER)),
            and_(digests.c.state == REFUSED, or_(digests.c.ended_at > bindparam("since"), digests.c.pages != "[]")),
        ),
    )
    .order_by(digests.c.id)
)


def living_digests(conn: Connection, channels: Sequence[str], now: Millis) -> tuple[DigestRow, ...]:
    """The digests of these channels that are not done, the oldest first."""
    found = conn.execute(_LIVING, {"channels": channels, "since": now - REFUSED_FOR})
    return tuple(_row(one) for one in found)


def find_digest(conn: Connection, digest_id: int) -> DigestRow | None:
    found = conn.execute(select(digests).where(digests.c.id == digest_id)).first()
    return _row(found) if found else None


def last_told_at(conn: Connection, channel: str) -> Millis | None:
    """When a channel had the last message of its digests, where each is a message of its own."""
    latest = select(digests).where(digests.c.channel == channel).order_by(digests.c.id.desc()).limit(5)
    rows = [_row(one) for one in conn.execute(latest)]
    return max((at for row in rows for at in (row.listed_at, row.head and row.head.at) if at), default=None)


def _stale(conn: Connection, ids: Sequence[int]) -> frozenset[int]:
    if not ids:
        return frozenset()
    waiting = (posts.c.digest_id.in_(ids), posts.c.state == "live", posts.c.due_at.is_not(None))
    return frozenset(conn.execute(select(posts.c.digest_id).where(*waiting).distinct()).scalars())


def _ended_at(conn: Connection, ids: Sequence[int]) -> Millis | None:
    """When the last incident of these digests ended; None while one is open."""
    shown = and_(posts.c.digest_id.in_(ids), posts.c.state == "live", posts.c.incident_id == incidents.c.id)
    if conn.execute(select(posts.c.id).where(shown, incidents.c.closed_at.is_(None)).limit(1)).first() is not None:
        return None
    ended_at: Millis | None = conn.execute(select(func.max(incidents.c.closed_at)).where(shown)).scalar()
    return ended_at


def _shown_alone() -> ColumnElement[bool]:
    """There is a message of its own to edit, and the digest has told what there is to tell."""
    told = or_(posts.c.digest_id.is_(None), posts.c.announced_rev >= newest_revision())
    return or_(and_(posts.c.remote.is_not(None), told), posts.c.farewell)


def _served_alone(held: Sequence[int]) -> ColumnElement[bool]:
    """Not what a digest shows whose storm is over, unless it rings again or is to have a message of its own."""
    in_digest = and_(posts.c.digest_id.is_not(None), posts.c.digest_id.in_(held), posts.c.remote.is_(None))
    return or_(~func.coalesce(in_digest, False), posts.c.quiet, posts.c.rank >= RING)


def open_digest(conn: Connection, row: DigestRow, lease: Lease | None, *, appending: bool) -> None:
    """A storm begins, as early as the first of what it has to tell happened; what was told just before belongs to it.

    What storms of long ago left behind goes.
    """
    check(conn, lease)
    over = (digests.c.channel == row.channel, digests.c.state.in_((OVER, REFUSED)))
    conn.execute(delete(digests).where(*over, digests.c.began_at < row.began_at - KEEP))
    first = select(func.min(posts.c.since)).where(loud_posts(row.channel, row.began_at, appending=appending))
    began_at = conn.execute(first).scalar()
    conn.execute(insert(digests).values(**_values(row) | {"began_at": min(row.began_at, began_at or row.began_at)}))
    told = (posts.c.channel == row.channel, posts.c.state == "live", posts.c.remote.is_not(None))
    conn.execute(update(posts).where(*told, posts.c.created_at > row.began_at - JUST).values(digest_id=row.id))


def save_digest(conn: Connection, row: DigestRow, lease: Lease | None) -> None:
    check(conn, lease)
    values = _values(row)
    conn.execute(update(digests).where(digests.c.id == values.pop("id")).values(**values))


def absorb(
    conn: Connection, row: DigestRow, shown: Sequence[DigestEntry], lease: Lease | None, *, appending: bool
) -> None:
    """The digest stands as `row` says and shows these incidents: they need no message of their own for it.

    What changed while the call was on its way stays due, and as loud as it was.
    """
    hold_groups(conn, [entry.post_id for entry in shown])
    save_digest(conn, row, lease)
    if not shown:
        return
    newest = newest_revision()
    revision: ColumnElement[int] = bindparam("shown_revision")
    whole = true() if appending else posts.c.remote.is_(None)
    at_rest = and_(whole, newest == revision)
    values = {
        "digest_id": row.id,
        "announced_rev": revision,
        "shown_rev": case((whole, revision), else_=posts.c.shown_rev),
        "quiet": case((newest == revision, False), else_=posts.c.quiet),
        "rank": case((newest == revision, 0), else_=posts.c.rank),
        "since": case((at_rest, None), else_=posts.c.since),
        "due_at": case((at_rest, None), else_=posts.c.due_at),
        "attempts": 0,
    }
    statement = update(posts).where(posts.c.id == bindparam("post"), posts.c.announced_rev <= revision).values(values)
    conn.execute(statement, [{"post": entry.post_id, "shown_revision": entry.revision} for entry in shown])


def promote(conn: Connection, row: DigestRow, matters: Sequence[int], now: Millis, lease: Lease | None) -> None:
    """The storm is over: these posts get messages of their own, without sound, since they were told already."""
    save_digest(conn, row, lease)
    alone = (posts.c.id.in_(matters), posts.c.remote.is_(None), posts.c.state == "live")
    conn.execute(update(posts).where(*alone).values(quiet=True, due_at=now, since=now))


def release(conn: Connection, row: DigestRow, now: Millis, lease: Lease | None, *, moved: bool = False) -> None:
    """The platform does not take this digest: its posts go their own way, none of them is lost.

    What it has told of one needs no sound any more, and no message at all if that was the end. Its messages are kept as
    pages, to be taken away. One that only stands elsewhere (`moved`) is no reason not to begin another.
    """
    left, ended_at = (row.head, *row.pages) if row.head else row.pages, now - REFUSED_FOR if moved else now
    save_digest(conn, replace(row, state=REFUSED, ended_at=ended_at, head=None, pages=left), lease)
    told = posts.c.announced_rev >= newest_revision()
    is_open = select(incidents.c.id).where(incidents.c.id == posts.c.incident_id, incidents.c.closed_at.is_(None))
    missing = or_(~told, is_open.correlate(posts).exists())
    mine = (posts.c.digest_id == row.id, posts.c.remote.is_(None), missing)
    quiet = case((posts.c.announced_rev > 0, True), else_=posts.c.quiet)
    alone = {"digest_id": None, "due_at": now, "since": now, "quiet": quiet}
    conn.execute(update(posts).where(*mine).values(alone))


def note_own(conn: Connection, row: DigestRow, post_id: int, digest_id: int | None, lease: Lease | None) -> None:
    """A critical incident had a message of its own: `row` counts it, and the digest of its channel names it, too."""
    save_digest(conn, row, lease)
    conn.execute(update(posts).where(posts.c.id == post_id).values(digest_id=digest_id))


def _row(found: Any) -> DigestRow:
    values = {field.name: getattr(found, field.name) for field in fields(DigestRow)}
    values["head"] = Message(**json.loads(found.head)) if found.head else None
    values["pages"] = tuple(Message(**one) for one in json.loads(found.pages or "[]"))
    values["told"] = json.loads(found.told) if found.told else None
    return DigestRow(**values)


def _values(row: DigestRow) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(DigestRow)}
    values["head"] = json.dumps(asdict(row.head)) if row.head else None
    values["pages"] = json.dumps([asdict(page) for page in row.pages])
    values["told"] = json.dumps(dict(row.told)) if row.told is not None else ""
    return values
