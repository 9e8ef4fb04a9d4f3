"""The posts: which is due, and what came of a call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    ScalarSelect,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from relay.clock import MINUTE, SECOND, Millis
from relay.notification import IncidentView
from relay.store.leases import Lease, check
from relay.store.rows import PostRow
from relay.store.schema import alert_groups, incidents, posts
from relay.store.views import load_view

LONGEST_WAIT: Millis = 15 * MINUTE
"""A due time further off than any wait we ever set comes from a clock that was set back: it counts as due."""
RANK_WORTH: Millis = 30 * SECOND
"""Each step of rank is worth so much waiting: the most severe first, and yet a warning's resolve cannot starve."""
CROWD = 4
"""So many posts that are due at once may be the begin of a storm."""


@dataclass(frozen=True, slots=True)
class Due:
    """A post to serve and its incident as of now. `crowded`: it is not alone."""

    post: PostRow
    view: IncidentView
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is due; `until` is when the next post will be (None: when something changes)."""

    until: Millis | None


_ORDER = (posts.c.since - posts.c.rank * RANK_WORTH, posts.c.id)
_FIRST = select(*[posts.c[field.name] for field in fields(PostRow)]).order_by(*_ORDER).limit(CROWD)


def next_due(
    conn: Connection,
    channels: Sequence[str],
    now: Millis,
    *,
    several: bool,
    only: Sequence[ColumnElement[bool]] = (),
    after: Collection[int] = (),
) -> Due | Idle:
    """The post of these channels that should be served first.

    Args:
        conn: the transaction.
        channels: those that may be served now.
        now: the time.
        several: name the cluster in texts.
        only: further conditions.
        after: posts that come after all others.
    """
    first = _FIRST.order_by(None).order_by(posts.c.id.in_(after), *_ORDER) if after else _FIRST
    rows = conn.execute(first.where(*live_posts(channels), is_ready(now), *only)).all()
    if not rows:
        return Idle(conn.execute(select(func.min(posts.c.due_at)).where(*live_posts(channels), *only)).scalar())
    post = PostRow(**rows[0]._asdict())
    view = load_view(conn, post.incident_id, post.channel, now, several=several)
    return Due(post, view, crowded=len(rows) == CROWD)


def live_posts(channels: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    """The posts of these channels that are behind."""
    return posts.c.channel.in_(channels), posts.c.state == "live", posts.c.due_at.is_not(None)


def newest_revision() -> ScalarSelect[int]:
    """The revision of the group behind a post, as a part of a statement about posts."""
    return (
        select(alert_groups.c.revision)
        .join(incidents, incidents.c.group_id == alert_groups.c.id)
        .where(incidents.c.id == posts.c.incident_id)
        .correlate(posts)
        .scalar_subquery()
    )


_HOLD = text(
    "SELECT g.id FROM alert_groups g JOIN incidents i ON i.group_id = g.id JOIN posts p ON p.incident_id = i.id "
    "WHERE p.id = ANY(:posts) ORDER BY g.id FOR SHARE OF g"
).bindparams(bindparam("posts", type_=ARRAY(BigInteger)))


def hold_groups(conn: Connection, post_ids: Collection[int]) -> None:
    """Until the transaction ends nothing changes of what these posts show.

    An UPDATE of PostgreSQL that waited for a row sees all others as they were before: whoever compares a post with the
    revision of its group holds the group first. SQLite has one writer.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(_HOLD, {"posts": list(post_ids)})


def is_ready(now: Millis) -> ColumnElement[bool]:
    return or_(posts.c.due_at <= now, posts.c.due_at > now + LONGEST_WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a post has reached; None leaves a field as it is."""

    shown_rev: int | None = None
    announced_rev: int | None = None
    remote: str | None = None
    fingerprint: str | None = None
    attached_rev: int | None = None
    attached_at: Millis | None = None
    told_at: Millis | None = None
    quiet: bool | None = None


_ANEW: Mapping[str, Any] = {"remote": None, "fingerprint": "", "quiet": True}
"""There is no message to edit any more: the next one comes instead of it, and rings only for what was never told."""


def record_progress(conn: Connection, post_id: int, progress: Progress, now: Millis, lease: Lease | None) -> None:
    """A call went well: the post stays due, to be planned again at once."""
    check(conn, lease)
    reached = {field.name: getattr(progress, field.name) for field in fields(progress)}
    values = {name: value for name, value in reached.items() if value is not None}
    conn.execute(
        update(posts).where(posts.c.id == post_id).values(**values, due_at=now, attempts=0, reason="", detail="")
    )


def record_left(conn: Connection, post_id: int, now: Millis, lease: Lease | None) -> None:
    """Its message stands where its channel no longer writes: the post is due, to be shown anew where it does."""
    check(conn, lease)
    conn.execute(
        update(posts).where(posts.c.id == post_id).values(**_ANEW, due_at=now, attempts=0, reason="", detail="")
    )


def record_done(conn: Connection, post_id: int, revision: int, until: Millis | None, lease: Lease | None) -> None:
    """Everything up to `revision` is shown and told. What changed meanwhile keeps the post due; `until` wakes it later."""
    hold_groups(conn, [post_id])
    check(conn, lease)
    newest = newest_revision()
    conn.execute(
        update(posts)
        .where(posts.c.id == post_id, newest == revision)
        .values(shown_rev=revision, due_at=until, since=None, rank=0, attempts=0)
    )
    if until is None:
        conn.execute(update(posts).where(posts.c.id == post_id, newest == revision).values(announced_rev=revision))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a failed call changes on its post."""

    reason: str
    detail: str
    due_at: Millis | None  # None: dead
    revision: int | None = None  # dead only as of that: what has changed since gets a try of its own
    plain: bool = False
    forget: bool = False


def record_failure(conn: Connection, post_id: int, failure: Failure, lease: Lease | None) -> None:
    if failure.due_at is None:
        hold_groups(conn, [post_id])
    check(conn, lease)
    values: dict[str, Any] = {
        "reason": failure.reason,
        "detail": failure.detail[:1000],
        "attempts": posts.c.attempts + 1,
    }
    if failure.due_at is not None:
        values["due_at"] = failure.due_at
    elif failure.revision is None or not _has_changed(conn, post_id, failure.revision):
        values |= {"due_at": None, "state": "dead"}
    if failure.plain:
        values["plain"] = True
    if failure.forget:
        values |= _ANEW
    conn.execute(update(posts).where(posts.c.id == post_id).values(**values))


def _has_changed(conn: Connection, post_id: int, revision: int) -> bool:
    since = select(posts.c.id).where(posts.c.id == post_id, newest_revision() > revision)
    return conn.execute(since).first() is not None
