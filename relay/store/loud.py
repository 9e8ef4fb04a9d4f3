"""Which posts must announce something: what a storm is made of, where messages are edited and where each is a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from relay.clock import Millis
from relay.store.deliveries import goes_to
from relay.store.posts import is_ready, live_posts
from relay.store.schema import incidents, memberships, posts

RING = 4
"""Posts of that rank and above have something to announce; what is above it is a severity (`relay.ingest.turn`)."""


def count_loud(conn: Connection, channels: Sequence[str], now: Millis, *, appending: bool) -> Mapping[str, int]:
    """By channel, how many of its posts must announce something now."""
    counted = select(posts.c.channel, func.count().label("number")).where(*live_posts(channels), is_ready(now))
    loud = counted.where(is_loud(appending=appending)).group_by(posts.c.channel)
    return {row.channel: row.number for row in conn.execute(loud)}


def loud_posts(channel: str, now: Millis, *, appending: bool) -> ColumnElement[bool]:
    """The posts of a channel that must announce something now."""
    return and_(*live_posts([channel]), is_ready(now), is_loud(appending=appending))


def is_loud(*, appending: bool) -> ColumnElement[bool]:
    """Whether a post must announce something, be it now or later."""
    if appending:
        return and_(posts.c.farewell.is_(False), is_told_by_message())
    first = and_(posts.c.remote.is_(None), posts.c.digest_id.is_(None), posts.c.farewell.is_(False))
    return or_(posts.c.rank >= RING, first)


def is_told_by_message() -> ColumnElement[bool]:
    """Whether a post that cannot be edited has something to tell: what `relay.planning.posts` would send a message for."""
    announced = posts.c.announced_rev
    listed = (memberships.c.incident_id == posts.c.incident_id, goes_to(posts.c.channel))
    ended = select(memberships.c.alert_id).where(*listed, memberships.c.resolved_rev > announced)
    still = select(memberships.c.alert_id).where(*listed, memberships.c.open.is_(True))
    over = (incidents.c.truncated == 0, ended.correlate(posts).exists(), ~still.correlate(posts).exists())
    told = or_(incidents.c.ack_rev > announced, incidents.c.silence_rev > announced, and_(*over))
    changed = select(incidents.c.id).where(incidents.c.id == posts.c.incident_id, told)
    return or_(rings(), changed.correlate(posts).exists())


def rings() -> ColumnElement[bool]:
    """Whether somebody must come: it fires, or is worse, and its channel was not told so."""
    return or_(posts.c.rank >= RING, posts.c.announced_rev == 0)
