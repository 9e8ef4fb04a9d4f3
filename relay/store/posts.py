"""The posts: which is due, what its incident looks like now, and what came of a call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, and_, case, func, or_, select, update

from relay.clock import MINUTE, SECOND, Millis
from relay.notification import AlertState, AlertView, IncidentView
from relay.severity import Severity
from relay.store.leases import Lease, check
from relay.store.rows import PostRow
from relay.store.schema import alert_groups, alerts, episodes, incidents, memberships, posts

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


def next_due(
    conn: Connection,
    channels: Sequence[str],
    now: Millis,
    *,
    several: bool,
    only: Sequence[ColumnElement[bool]] = (),
) -> Due | Idle:
    """The post of these channels that should be served first.

    Args:
        conn: the transaction.
        channels: those that may be served now.
        now: the time.
        several: name the cluster in texts.
        only: further conditions.
    """
    order = posts.c.since - posts.c.rank * RANK_WORTH
    columns = [posts.c[field.name] for field in fields(PostRow)]
    wanted = select(*columns).where(*live_posts(channels), is_ready(now), *only)
    rows = conn.execute(wanted.order_by(order, posts.c.id).limit(CROWD)).all()
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


def is_ready(now: Millis) -> ColumnElement[bool]:
    return or_(posts.c.due_at <= now, posts.c.due_at > now + LONGEST_WAIT)


def load_view(
    conn: Connection, incident_id: int, channel: str | None, now: Millis, *, several: bool = False
) -> IncidentView:
    """The incident as this channel sees it; None: all of it, whatever is routed where."""
    head = conn.execute(
        select(
            incidents.c.opened_at,
            incidents.c.closed_at,
            incidents.c.truncated,
            incidents.c.test,
            incidents.c.repeat_rev,
            incidents.c.ack_rev,
            incidents.c.silence_rev,
            alert_groups,
        )
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(incidents.c.id == incident_id)
    ).one()
    return IncidentView(
        id=incident_id,
        code=head.code,
        alertmanager=head.alertmanager,
        receiver=head.receiver,
        group_labels=json.loads(head.labels),
        external_url=head.external_url,
        alerts=_alerts(conn, incident_id, channel, now),
        revision=head.revision,
        opened_at=head.opened_at,
        closed_at=head.closed_at,
        truncated=head.truncated,
        repeat_rev=head.repeat_rev,
        ack_rev=head.ack_rev,
        silence_rev=head.silence_rev,
        several_alertmanagers=several,
        test=head.test,
    )


def _alerts(conn: Connection, incident_id: int, channel: str | None, now: Millis) -> tuple[AlertView, ...]:
    rows = alert_rows(conn, memberships.c.incident_id == incident_id, channel)
    return tuple(sorted((view_of_alert(row, silent=silent, now=now) for row, silent in rows), key=_order))


def _alert_rows() -> Select[Any]:
    """A run that goes on in a later incident of its group is over for the earlier one, of whose message nobody would hear."""
    reopened_later = and_(episodes.c.ends_at.is_(None), memberships.c.open.is_(False), memberships.c.left_rev == 0)
    return (
        select(
            memberships.c.incident_id,
            memberships.c.channels,
            memberships.c.fired_rev,
            memberships.c.raised_rev,
            memberships.c.changed_rev,
            memberships.c.resolved_rev,
            memberships.c.left_rev,
            alerts.c.code,
            alerts.c.fingerprint,
            alerts.c.labels,
            alerts.c.annotations,
            alerts.c.severity,
            alerts.c.generator_url,
            alerts.c.silenced,
            alerts.c.silenced_by,
            alerts.c.silenced_until,
            alerts.c.inhibited,
            alerts.c.flapping_until,
            alerts.c.starts_at.label("alert_starts_at"),
            (alerts.c.episode_id == memberships.c.episode_id).label("current"),
            episodes.c.number,
            episodes.c.starts_at,
            case((reopened_later, alerts.c.ends_at), else_=episodes.c.ends_at).label("ends_at"),
            episodes.c.acked_by,
            episodes.c.acked_at,
            episodes.c.ack_note,
        )
        .join(alerts, alerts.c.id == memberships.c.alert_id)
        .join(episodes, episodes.c.id == memberships.c.episode_id)
    )


_ALERT_ROWS = _alert_rows()


def alert_rows(conn: Connection, where: ColumnElement[bool], channel: str | None) -> Iterator[tuple[Any, bool]]:
    """The alerts of some incidents that are routed to the channel (None: to any), and whether silently."""
    for row in conn.execute(_ALERT_ROWS.where(where)):
        silent = False if channel is None else _channels(row.channels).get(channel)
        if silent is not None:
            yield row, silent


def view_of_alert(row: Any, *, silent: bool, now: Millis) -> AlertView:
    """The alert of a row of `alert_rows`."""
    state = state_of(row)
    return AlertView(
        code=row.code,
        fingerprint=row.fingerprint,
        labels=json.loads(row.labels),
        annotations=json.loads(row.annotations),
        severity=Severity(row.severity),
        state=state,
        starts_at=(row.alert_starts_at if row.current else row.starts_at) or 0,
        ends_at=row.ends_at,
        generator_url=row.generator_url,
        episode=row.number,
        flapping=row.flapping_until is not None and row.flapping_until > now,
        silent=silent,
        acked_by=row.acked_by or None,
        acked_at=row.acked_at,
        ack_note=row.ack_note,
        silenced_until=row.silenced_until if state is AlertState.SILENCED else None,
        silenced_by=row.silenced_by if state is AlertState.SILENCED else "",
        fired_rev=row.fired_rev,
        raised_rev=row.raised_rev,
        changed_rev=row.changed_rev,
        resolved_rev=row.resolved_rev,
    )


def state_of(row: Any) -> AlertState:
    """What a row of `alert_rows` does now."""
    if row.ends_at is not None or not row.current:
        return AlertState.RESOLVED
    if row.left_rev:
        return AlertState.UNREPORTED
    if row.silenced:
        return AlertState.SILENCED
    return AlertState.INHIBITED if row.inhibited else AlertState.FIRING


def _order(alert: AlertView) -> tuple[bool, int, int, str]:
    return not alert.state.open, -alert.severity, -alert.starts_at, alert.fingerprint


@lru_cache(maxsize=4096)
def _channels(text: str) -> Mapping[str, bool]:
    found: dict[str, bool] = json.loads(text or "{}")
    return found


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


def record_progress(conn: Connection, post_id: int, progress: Progress, now: Millis, lease: Lease | None) -> None:
    """A call went well: the post stays due, to be planned again at once."""
    check(conn, lease)
    reached = {field.name: getattr(progress, field.name) for field in fields(progress)}
    values = {name: value for name, value in reached.items() if value is not None}
    conn.execute(
        update(posts).where(posts.c.id == post_id).values(**values, due_at=now, attempts=0, reason="", detail="")
    )


def record_done(conn: Connection, post_id: int, revision: int, until: Millis | None, lease: Lease | None) -> None:
    """Everything up to `revision` is shown and told. What changed meanwhile keeps the post due; `until` wakes it later."""
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
    plain: bool = False
    forget: bool = False


def record_failure(conn: Connection, post_id: int, failure: Failure, lease: Lease | None) -> None:
    check(conn, lease)
    values: dict[str, Any] = {
        "reason": failure.reason,
        "detail": failure.detail[:1000],
        "due_at": failure.due_at,
        "attempts": posts.c.attempts + 1,
    }
    if failure.due_at is None:
        values["state"] = "dead"
    if failure.plain:
        values["plain"] = True
    if failure.forget:
        values |= {"remote": None, "fingerprint": "", "quiet": True}
    conn.execute(update(posts).where(posts.c.id == post_id).values(**values))
