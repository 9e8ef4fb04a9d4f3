"""What a digest shows: each of its incidents as one line, read once and again when it has changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from relay.clock import MINUTE, Millis
from relay.notification import AlertState, AlertView, Remote
from relay.notification_digest import DigestEntry, DigestView
from relay.store.digests import CLOSING, STORM, DigestRow, find_digest
from relay.store.loud import RING, is_told_by_message, loud_posts, rings
from relay.store.schema import alert_groups, incidents, memberships, posts
from relay.store.views import alert_rows, state_of, view_of_alert

LATE_AFTER: Millis = 10 * MINUTE
AT_ONCE = 1000
"""Incidents that one statement asks for: databases bound how many values it may have."""


@dataclass(slots=True)
class _Tally:
    """The alerts of one incident that are routed to the channel."""

    worst: tuple[Any, ...] = ()
    row: Any = None
    states: dict[AlertState, int] = field(default_factory=dict)
    acked: int = 0
    silent: bool = True


def load_digest(
    conn: Connection, row: DigestRow, now: Millis, *, several: bool, appending: bool, before: DigestView | None = None
) -> DigestView:
    """The digest as of now, with the posts that must announce something and are in none yet.

    Of `before`, an earlier view of it, each incident is taken over whose group has its revision still: that grows with
    every visible change. If nothing has changed, `entries` are the very same.
    """
    return DigestView(
        id=row.id,
        entries=_entries(conn, row, now, before.entries if before else (), appending=appending),
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


def _entries(
    conn: Connection, row: DigestRow, now: Millis, known: tuple[DigestEntry, ...], *, appending: bool
) -> tuple[DigestEntry, ...]:
    told = and_(posts.c.digest_id == row.id, posts.c.announced_rev >= alert_groups.c.revision)
    if row.state != STORM:  # it shows what rings after the storm, and telling that is a message's of its own
        told = or_(told, posts.c.rank >= RING)
    if appending:
        told = or_(told, ~is_told_by_message())
    wanted = (
        select(
            posts.c.id,
            posts.c.incident_id,
            posts.c.remote.is_not(None).label("own"),
            posts.c.since,
            posts.c.quiet,
            told.label("told"),
            rings().label("rings"),
            alert_groups.c.revision,
        )
        .join(incidents, incidents.c.id == posts.c.incident_id)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(_members(row, now, appending=appending))
    )
    heads = conn.execute(wanted).all()
    by_post = {entry.post_id: entry for entry in known}
    found: list[DigestEntry] = []
    changed: dict[int, Any] = {}
    for head in heads:  # before the alerts are read: what changes meanwhile is newer than its revision, and read again
        entry = by_post.get(head.id)
        if entry is not None and entry.revision == head.revision:
            found.append(_standing(entry, head, now))
        else:
            changed[head.incident_id] = head
    if not changed and len(found) == len(known) and all(entry is by_post[entry.post_id] for entry in found):
        return known
    incident_ids = list(changed)
    for start in range(0, len(incident_ids), AT_ONCE):
        found += _read(conn, incident_ids[start : start + AT_ONCE], changed, row.channel, now)
    return tuple(sorted(found, key=lambda one: (-one.severity, one.name, one.place, one.post_id)))


def _standing(entry: DigestEntry, head: Any, now: Millis) -> DigestEntry:
    """An incident that looks as before; what was told of it may have changed."""
    waiting = _waiting(head, now)
    said = (entry.waiting, entry.own, entry.quiet, entry.rings)
    if said == (waiting, head.own, head.quiet, head.rings):
        return entry
    return replace(entry, waiting=waiting, own=head.own, quiet=head.quiet, rings=head.rings)


def _read(
    conn: Connection, incident_ids: Sequence[int], heads: Mapping[int, Any], channel: str, now: Millis
) -> Iterator[DigestEntry]:
    """These incidents with their alerts; not those of which nothing is routed here."""
    named = (
        select(incidents.c.id, alert_groups.c.code, alert_groups.c.alertmanager, alert_groups.c.labels)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(incidents.c.id.in_(incident_ids))
    )
    tallies: dict[int, _Tally] = {}
    for alert, silent in alert_rows(conn, memberships.c.incident_id.in_(incident_ids), channel):
        _count(tallies.setdefault(alert.incident_id, _Tally()), alert, silent=silent)
    for group in conn.execute(named):
        if group.id in tallies:
            yield _entry(heads[group.id], group, tallies[group.id], now)


def _count(tally: _Tally, row: Any, *, silent: bool) -> None:
    state = state_of(row)
    tally.states[state] = tally.states.get(state, 0) + 1
    tally.acked += bool(row.acked_by) and state.open
    tally.silent = tally.silent and silent
    rank = (state.open, row.severity, row.starts_at or 0, row.fingerprint)
    if not tally.worst or rank > tally.worst:
        tally.worst, tally.row = rank, row


def _entry(head: Any, group: Any, tally: _Tally, now: Millis) -> DigestEntry:
    alert: AlertView = view_of_alert(tally.row, silent=tally.silent, now=now)
    labels = _shared(json.loads(group.labels))
    return DigestEntry(
        post_id=head.id,
        revision=head.revision,
        alertmanager=group.alertmanager,
        group_labels=labels,
        alert=replace(alert, state=_state(tally.states), code=group.code, labels={**labels, **_shared(alert.labels)}),
        alerts=sum(tally.states.values()),
        firing=sum(count for state, count in tally.states.items() if state.open),
        acked=tally.acked,
        own=head.own,
        quiet=head.quiet,
        rings=head.rings,
        waiting=_waiting(head, now),
    )


def _shared(labels: Mapping[str, str]) -> dict[str, str]:
    """Thousands of groups, for each channel of a storm, have few names and values: each is kept once."""
    return {sys.intern(name): sys.intern(value) for name, value in labels.items()}


def _waiting(head: Any, now: Millis) -> Millis | None:
    if head.told:
        return None
    since: Millis | None = head.since
    return now if since is None else since


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
    """What fires of a digest, with the cluster of each alert. `remote` is the address of its head, once that is noted."""

    channel: str
    remote: Remote
    alerts: tuple[tuple[str, AlertView], ...]


def alerts_of_digest(conn: Connection, digest_id: int, now: Millis) -> DigestAlerts | None:
    row = find_digest(conn, digest_id)
    if row is None or (row.head is None and row.state != STORM):  # given up, or over before it was sent
        return None
    if row.head is None:
        return DigestAlerts(row.channel, {}, ())
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
