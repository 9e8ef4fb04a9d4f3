"""What the relay looks at to know whether it works: channels that take nothing, old posts, beats, its own alerts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from relay.clock import Millis
from relay.severity import Severity
from relay.store.deliveries import IS_DEAD, IS_DUE, REMOVED, dead_letters, goes_to
from relay.store.schema import alerts, beats, destinations, incidents, memberships, posts

AT_ONCE = 100
"""Incidents that one step brings to another channel; the next step takes the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """A channel's far side, and what waits for it. Times are milliseconds since 1970."""

    paused_since: Millis | None = None  # takes nothing since then
    permanent: bool = False  # and says that it never will
    reason: str = ""
    detail: str = ""
    failed_at: Millis | None = None
    succeeded_at: Millis | None = None
    oldest: Millis | None = None  # behind since then
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """An alert that fires, as it was received."""

    id: int
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at everything that is watched."""

    channels: Mapping[str, ChannelState]
    beats: Mapping[str, Millis]  # by alertmanager
    own: tuple[Firing, ...]  # what we report about ourselves now


def look(conn: Connection, channels: Collection[str], source: str) -> Look:
    """`source`: the name that our own alerts come from."""
    waiting = (posts.c.channel.in_(list(channels)), posts.c.state == "live", IS_DUE)
    oldest = select(posts.c.channel, func.min(posts.c.since)).where(*waiting).group_by(posts.c.channel)
    since = {row[0]: row[1] for row in conn.execute(oldest)}
    dead = dead_letters(conn, channels)
    far = {row.key: row for row in conn.execute(select(destinations).where(destinations.c.key.in_(list(channels))))}
    return Look(
        channels={name: _state(far.get(name), since.get(name), dead.get(name, 0)) for name in channels},
        beats={row.alertmanager: row.seen_at or 0 for row in conn.execute(select(beats))},
        own=firing_alerts(conn, source),
    )


def _state(far: Row[Any] | None, oldest: Millis | None, dead: int) -> ChannelState:
    if far is None:  # nothing was ever sent there
        return ChannelState(oldest=oldest, dead=dead)
    return ChannelState(
        paused_since=far.paused_since,
        permanent=far.permanent,
        reason=far.reason,
        detail=far.detail,
        failed_at=far.failed_at,
        succeeded_at=far.succeeded_at,
        oldest=oldest,
        dead=dead,
    )


def firing_alerts(conn: Connection, source: str) -> tuple[Firing, ...]:
    """Those of one alertmanager, as we know them."""
    statement = select(alerts.c.id, alerts.c.fingerprint, alerts.c.labels, alerts.c.annotations, alerts.c.starts_at)
    rows = conn.execute(statement.where(alerts.c.alertmanager == source, alerts.c.firing.is_(True)))
    return tuple(
        Firing(
            id=row.id,
            fingerprint=row.fingerprint,
            labels=json.loads(row.labels),
            annotations=json.loads(row.annotations),
            starts_at=row.starts_at or 0,
        )
        for row in rows
    )


def record_beat(conn: Connection, alertmanager: str, now: Millis) -> None:
    if not conn.execute(update(beats).where(beats.c.alertmanager == alertmanager).values(seen_at=now)).rowcount:
        conn.execute(insert(beats).values(alertmanager=alertmanager, seen_at=now))


def commit_nothing(_conn: Connection) -> None:
    """A transaction that only shows whether the store commits, and how fast."""


def find_stranded(
    conn: Connection, failing: Collection[str], stand_ins: Mapping[str, str], before: Millis
) -> list[tuple[int, str]]:
    """Open incidents with critical alerts that a channel was not told of and its stand-in does not show yet.

    Args:
        conn: the transaction.
        failing: channels that take nothing; of the others, dead letters are stranded, and what fails by itself.
        stand_ins: channel -> the channel that stands in for it.
        before: what has failed by itself since then is stranded, unless some of its recipients have it.
    """
    found: list[tuple[int, str]] = []
    again = (posts.c.attempts > 1) & ~func.coalesce(posts.c.remote, "").contains("retry_recipients")
    for channel, stand_in in stand_ins.items():
        behind = [IS_DEAD & (posts.c.reason != REMOVED)]
        behind.append((posts.c.state == "live") & IS_DUE & (posts.c.since <= before) & again)
        if channel in failing:
            behind.append((posts.c.state == "live") & IS_DUE & posts.c.since.is_not(None))
        for which in behind:
            rows = conn.execute(_untold(channel, stand_in).where(which).limit(AT_ONCE))
            found += [(row.incident_id, channel) for row in rows]
    return found


def _untold(channel: str, stand_in: str) -> Select[Any]:
    return (
        select(posts.c.incident_id)
        .join(incidents, incidents.c.id == posts.c.incident_id)
        .join(memberships, memberships.c.incident_id == posts.c.incident_id)
        .join(alerts, alerts.c.id == memberships.c.alert_id)
        .where(posts.c.channel == channel, incidents.c.closed_at.is_(None))
        .where(memberships.c.open.is_(True), alerts.c.severity == int(Severity.CRITICAL))
        .where(goes_to(channel), ~goes_to(stand_in))
        .where((memberships.c.fired_rev > posts.c.announced_rev) | (memberships.c.raised_rev > posts.c.announced_rev))
        .distinct()
    )
