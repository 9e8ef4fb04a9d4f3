"""What a digest shows: each of its incidents as one line, read with two statements however many they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from relay.clock import MINUTE, Millis
from relay.notification import AlertState, AlertView, Remote
from relay.notification_digest import DigestEntry, DigestView
from relay.store.digests import CLOSING, STORM, DigestRow, find_digest, loud_posts
from relay.store.posts import alert_rows, state_of, view_of_alert
from relay.store.schema import alert_groups, incidents, memberships, posts

LATE_AFTER: Millis = 10 * MINUTE


@dataclass(slots=True)
class _Tally:
    """The alerts of one incident that are routed to the channel."""

    worst: tuple[Any, ...] = ()
    row: Any = None
    states: dict[AlertState, int] = field(default_factory=dict)
    acked: int = 0
    silent: bool = True


def load_digest(conn: Connection, row: DigestRow, now: Millis, *, several: bool, appending: bool) -> DigestView:
    """The digest as of now, with the posts that must announce something and are in none yet."""
    return DigestView(
        id=row.id,
        entries=_entries(conn, _members(row, now, appending=appending), row, now),
        began_at=row.began_at,
        ended_at=row.ended_at,
        told=row.told,
        late=(row.head.posted_at if row.head else now) - row.began_at > LATE_AFTER,
        closing=row.state == CLOSING,
        several_alertmanagers=several,
    )


def _members(row: DigestRow, now: Millis, *, appending: bool) -> ColumnElement[bool]:
    mine = and_(posts.c.channel == row.channel, posts.c.state == "live", posts.c.digest_id == row.id)
    if row.state == STORM:
        return or_(mine, loud_posts(row.channel, now, appending=appending))
    if row.condensed and row.ended_at is not None:
        return and_(mine, or_(incidents.c.closed_at.is_(None), incidents.c.closed_at > row.ended_at))
    return mine


def _entries(conn: Connection, members: ColumnElement[bool], row: DigestRow, now: Millis) -> tuple[DigestEntry, ...]:
    heads = (
        select(
            posts.c.id,
            posts.c.incident_id,
            posts.c.remote.is_not(None).label("own"),
            posts.c.since,
            posts.c.quiet,
            and_(posts.c.digest_id == row.id, posts.c.announced_rev >= alert_groups.c.revision).label("told"),
            alert_groups.c.code,
            alert_groups.c.alertmanager,
            alert_groups.c.labels,
            alert_groups.c.revision,
        )
        .join(incidents, incidents.c.id == posts.c.incident_id)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(members)
    )
    listed = select(posts.c.incident_id).join(incidents, incidents.c.id == posts.c.incident_id).where(members)
    tallies: dict[int, _Tally] = {}
    for alert, silent in alert_rows(conn, memberships.c.incident_id.in_(listed), row.channel):
        _count(tallies.setdefault(alert.incident_id, _Tally()), alert, silent=silent)
    found = [
        _entry(head, tallies[head.incident_id], now) for head in conn.execute(heads) if head.incident_id in tallies
    ]
    return tuple(sorted(found, key=lambda one: (-one.severity, one.name, one.place, one.post_id)))


def _count(tally: _Tally, row: Any, *, silent: bool) -> None:
    state = state_of(row)
    tally.states[state] = tally.states.get(state, 0) + 1
    tally.acked += bool(row.acked_by) and state.open
    tally.silent = tally.silent and silent
    rank = (state.open, row.severity, row.starts_at or 0, row.fingerprint)
    if not tally.worst or rank > tally.worst:
        tally.worst, tally.row = rank, row


def _entry(head: Any, tally: _Tally, now: Millis) -> DigestEntry:
    alert: AlertView = view_of_alert(tally.row, silent=tally.silent or head.quiet, now=now)
    return DigestEntry(
        post_id=head.id,
        revision=head.revision,
        code=head.code,
        alertmanager=head.alertmanager,
        group_labels=json.loads(head.labels),
        alert=replace(alert, state=_state(tally.states)),
        alerts=sum(tally.states.values()),
        firing=sum(count for state, count in tally.states.items() if state.open),
        acked=tally.acked,
        own=head.own,
        waiting=None if head.told else head.since if head.since is not None else now,
    )


def _state(states: dict[AlertState, int]) -> AlertState:
    """What the loudest of its alerts does."""
    order: Sequence[AlertState] = (
        AlertState.FIRING,
        AlertState.SILENCED,
        AlertState.INHIBITED,
        AlertState.UNREPORTED,
    )
    return next((state for state in order if states.get(state)), AlertState.RESOLVED)


@dataclass(frozen=True, slots=True)
class DigestAlerts:
    """What fires of a digest, with the cluster of each alert. `remote` is the address of its head."""

    channel: str
    remote: Remote
    alerts: tuple[tuple[str, AlertView], ...]


def alerts_of_digest(conn: Connection, digest_id: int, now: Millis) -> DigestAlerts | None:
    row = find_digest(conn, digest_id)
    if row is None or row.head is None:
        return None
    members = (posts.c.channel == row.channel, posts.c.digest_id == row.id, posts.c.state == "live")
    joined = select(posts.c.incident_id, alert_groups.c.alertmanager).join(
        incidents, incidents.c.id == posts.c.incident_id
    )
    named = joined.join(alert_groups, alert_groups.c.id == incidents.c.group_id).where(*members)
    clusters = {found.incident_id: found.alertmanager for found in conn.execute(named)}
    listed = memberships.c.incident_id.in_(select(posts.c.incident_id).where(*members))
    views = {
        (clusters[found.incident_id], found.fingerprint): view_of_alert(found, silent=silent, now=now)
        for found, silent in alert_rows(conn, listed, row.channel)
        if state_of(found).open
    }
    alerts = tuple((alertmanager, view) for (alertmanager, _), view in views.items())
    return DigestAlerts(row.channel, row.head.remote, alerts)
