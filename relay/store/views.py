"""What an incident looks like now, as one channel sees it or whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, select

from relay.clock import Millis
from relay.notification import AlertState, AlertView, IncidentView
from relay.severity import Severity
from relay.store.schema import alert_groups, alerts, episodes, incidents, memberships

_HEAD = (
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
    .where(incidents.c.id == bindparam("incident"))
)


def load_view(
    conn: Connection, incident_id: int, channel: str | None, now: Millis, *, several: bool = False
) -> IncidentView:
    """The incident as this channel sees it; None: all of it, whatever is routed where."""
    head = conn.execute(_HEAD, {"incident": incident_id}).one()
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
    rows = _routed(conn.execute(_OF_INCIDENT, {"incident": incident_id}), channel)
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
_OF_INCIDENT = _ALERT_ROWS.where(memberships.c.incident_id == bindparam("incident"))


def alert_rows(conn: Connection, where: ColumnElement[bool], channel: str | None) -> Iterator[tuple[Any, bool]]:
    """The alerts of some incidents that are routed to the channel (None: to any), and whether silently."""
    return _routed(conn.execute(_ALERT_ROWS.where(where)), channel)


def _routed(rows: Iterable[Any], channel: str | None) -> Iterator[tuple[Any, bool]]:
    for row in rows:
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
