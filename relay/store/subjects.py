"""What people mean when they tap a button or type a code: the alerts of a post, of a group, or one alert."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from relay.clock import DAY, Millis
from relay.ids import CODE_LENGTH, alert_code
from relay.notification import IncidentView
from relay.store.schema import alert_groups, alerts, episodes, incidents, memberships, posts
from relay.store.views import load_view

RECENT: Millis = DAY
"""Who types a code of what ended within that time may still mean it."""


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
    name: str
    firing: bool
    ends_at: Millis | None = None  # of the last run that ended
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


class SharedCode(Exception):
    """Two things have this code, and who types it may mean either."""


def of_group(conn: Connection, code: str, now: Millis, *, several: bool = False) -> IncidentView | None:
    """The group's current or last incident, all of it. Raises `SharedCode` if several groups could be meant."""
    found = conn.execute(
        select(alert_groups.c.incident_id, incidents.c.closed_at)
        .join(incidents, incidents.c.id == alert_groups.c.incident_id)
        .where(alert_groups.c.code == code)
    ).all()
    ids = [row.incident_id for row in found if row.closed_at is None or row.closed_at >= now - RECENT]
    ids = ids or [row.incident_id for row in found]
    if len(ids) > 1:
        raise SharedCode(code)
    return load_view(conn, ids[0], None, now, several=several) if ids else None


def of_incident(
    conn: Connection, incident_id: int, now: Millis, *, several: bool = False, fingerprint: str | None = None
) -> IncidentView:
    """An incident, all of it or one alert of it alone."""
    view = load_view(conn, incident_id, None, now, several=several)
    if fingerprint is None:
        return view
    return replace(view, alerts=tuple(alert for alert in view.alerts if alert.fingerprint == fingerprint))


def of_code(conn: Connection, code: str) -> list[AlertIdentity]:
    """The alerts of this code or fingerprint: hardly ever more than one."""
    return _identities(conn, alerts.c.code == code if len(code) == CODE_LENGTH else alerts.c.fingerprint == code)


def of_fingerprint(conn: Connection, alertmanager: str, fingerprint: str) -> AlertIdentity | None:
    same = (alerts.c.alertmanager == alertmanager) & (alerts.c.fingerprint == fingerprint)
    return next(iter(_identities(conn, (alerts.c.code == alert_code(alertmanager, fingerprint)) & same)), None)


def _identities(conn: Connection, condition: Any) -> list[AlertIdentity]:
    columns = (
        alerts.c.id,
        alerts.c.alertmanager,
        alerts.c.fingerprint,
        alerts.c.labels,
        alerts.c.firing,
        alerts.c.ends_at,
    )
    acked = (episodes.c.acked_by, episodes.c.acked_at, episodes.c.ack_note)
    found = select(*columns, *acked).outerjoin(episodes, episodes.c.id == alerts.c.episode_id).where(condition)
    return [_identity(conn, row) for row in conn.execute(found.order_by(alerts.c.id.desc())).all()]


def _identity(conn: Connection, row: Any) -> AlertIdentity:
    newest = select(memberships.c.incident_id).where(memberships.c.alert_id == row.id)
    values = row._asdict() | {"acked_by": row.acked_by or "", "ack_note": row.ack_note or ""}
    name = json.loads(values.pop("labels")).get("alertname", "")
    incident_id = conn.execute(newest.order_by(memberships.c.incident_id.desc())).scalars().first()
    return AlertIdentity(**values, name=name, incident_id=incident_id)
