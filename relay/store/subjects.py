"""What people mean when they tap a button or type a code: the alerts of a post, of a group, or one alert."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from relay.clock import Millis
from relay.ids import alert_code
from relay.notification import IncidentView
from relay.store.schema import alert_groups, alerts, episodes, memberships, posts
from relay.store.views import load_view


@dataclass(frozen=True, slots=True, kw_only=True)
class PostSubject:
    """The incident behind a message, as the message's channel sees it. `remote` is the message's address."""

    channel: str
    remote: Mapping[str, Any]
    view: IncidentView


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertIdentity:
    """One alert that we know. `incident_id` is the newest incident that lists it."""

    id: int
    alertmanager: str
    fingerprint: str
    firing: bool
    acked_by: str = ""
    acked_at: Millis | None = None
    ack_note: str = ""
    incident_id: int | None


def of_post(conn: Connection, post_id: int, now: Millis, *, several: bool = False) -> PostSubject | None:
    row = conn.execute(
        select(posts.c.incident_id, posts.c.channel, posts.c.remote).where(posts.c.id == post_id)
    ).first()
    if row is None:
        return None
    view = load_view(conn, row.incident_id, row.channel, now, several=several)
    return PostSubject(channel=row.channel, remote=json.loads(row.remote) if row.remote else {}, view=view)


def of_group(conn: Connection, code: str, now: Millis, *, several: bool = False) -> IncidentView | None:
    """The group's current or last incident, all of it."""
    statement = (
        select(alert_groups.c.incident_id)
        .where(alert_groups.c.code == code, alert_groups.c.incident_id.is_not(None))
        .order_by(alert_groups.c.message_at.desc())
    )
    incident_id = conn.execute(statement).scalars().first()
    return load_view(conn, incident_id, None, now, several=several) if incident_id is not None else None


def of_incident(
    conn: Connection, incident_id: int, now: Millis, *, several: bool = False, fingerprint: str | None = None
) -> IncidentView:
    """An incident, all of it or one alert of it alone."""
    view = load_view(conn, incident_id, None, now, several=several)
    if fingerprint is None:
        return view
    return replace(view, alerts=tuple(alert for alert in view.alerts if alert.fingerprint == fingerprint))


def of_code(conn: Connection, code: str) -> AlertIdentity | None:
    """The alert of this code, the firing one first if two share it."""
    return _identity(conn, alerts.c.code == code)


def of_fingerprint(conn: Connection, alertmanager: str, fingerprint: str) -> AlertIdentity | None:
    same = (alerts.c.alertmanager == alertmanager) & (alerts.c.fingerprint == fingerprint)
    return _identity(conn, (alerts.c.code == alert_code(alertmanager, fingerprint)) & same)


def _identity(conn: Connection, condition: Any) -> AlertIdentity | None:
    columns = (alerts.c.id, alerts.c.alertmanager, alerts.c.fingerprint, alerts.c.firing)
    acked = (episodes.c.acked_by, episodes.c.acked_at, episodes.c.ack_note)
    found = select(*columns, *acked).outerjoin(episodes, episodes.c.id == alerts.c.episode_id).where(condition)
    row = conn.execute(found.order_by(alerts.c.firing.desc(), alerts.c.id.desc())).first()
    if row is None:
        return None
    newest = select(memberships.c.incident_id).where(memberships.c.alert_id == row.id)
    incident_id = conn.execute(newest.order_by(memberships.c.incident_id.desc())).scalars().first()
    texts = {"acked_by": row.acked_by or "", "ack_note": row.ack_note or ""}
    return AlertIdentity(**(row._asdict() | texts), incident_id=incident_id)
