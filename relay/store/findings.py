"""What the state knows of alerts that fire: acks and runs for the merge with Alertmanager's list, all else as a fallback."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from relay.clock import Millis
from relay.notification import AlertState
from relay.severity import Severity
from relay.store.schema import alert_groups, alerts, episodes, memberships

Identity = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What Alertmanager does not know of an alert that fires."""

    acked_by: str
    acked_at: Millis | None
    ack_note: str
    silenced_by: str
    silenced_until: Millis | None
    flapping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An alert as we knew it last, and the channels that show it."""

    alertmanager: str
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    severity: Severity
    state: AlertState
    starts_at: Millis
    generator_url: str
    channels: frozenset[str]
    known: Known


def known_firing(conn: Connection, alertmanagers: Collection[str], now: Millis) -> Mapping[Identity, Known]:
    """By (alertmanager, fingerprint); alerts of which there is nothing of the kind to know are left out."""
    statement = (
        select(
            alerts.c.alertmanager, alerts.c.fingerprint, alerts.c.silenced_by, alerts.c.silenced_until,
            alerts.c.flapping_until, episodes.c.acked_by, episodes.c.acked_at, episodes.c.ack_note,
        )
        .join(episodes, episodes.c.id == alerts.c.episode_id)
        .where(alerts.c.firing.is_(True), alerts.c.alertmanager.in_(list(alertmanagers)))
        .where((episodes.c.acked_by != "") | (alerts.c.silenced_by != "") | (alerts.c.flapping_until > now))
    )  # fmt: skip
    return {(row.alertmanager, row.fingerprint): _known(row, now) for row in conn.execute(statement)}


def remembered_firing(conn: Connection, answered: Collection[str], now: Millis) -> list[Remembered]:
    """What fires as far as we know, of all clusters but the `answered` ones; of those the test alerts alone."""
    told = (
        alerts.c.id, alerts.c.alertmanager, alerts.c.fingerprint, alerts.c.labels, alerts.c.annotations,
        alerts.c.severity, alerts.c.silenced, alerts.c.inhibited, alerts.c.starts_at, alerts.c.generator_url,
        alerts.c.silenced_by, alerts.c.silenced_until, alerts.c.flapping_until,
    )  # fmt: skip
    statement = select(*told, episodes.c.acked_by, episodes.c.acked_at, episodes.c.ack_note).join(
        episodes, episodes.c.id == alerts.c.episode_id
    )
    elsewhere = alerts.c.alertmanager.not_in(list(answered)) | alerts.c.exempt.is_(True)
    rows = conn.execute(statement.where(alerts.c.firing.is_(True), elsewhere)).all()
    listed = (
        select(memberships.c.alert_id, memberships.c.channels)
        .join(alerts, alerts.c.id == memberships.c.alert_id)
        .where(alerts.c.firing.is_(True), elsewhere, memberships.c.open.is_(True))
    )
    channels: dict[int, frozenset[str]] = {}
    read: dict[str, frozenset[str]] = {}  # most alerts go the same way
    for alert_id, text in conn.execute(listed):
        if text not in read:
            read[text] = frozenset(json.loads(text or "{}"))
        channels[alert_id] = channels.get(alert_id, frozenset()) | read[text]
    return [_remembered(row, channels.get(row.id, frozenset()), now) for row in rows]


def last_webhook(conn: Connection, alertmanager: str) -> Millis | None:
    statement = select(func.max(alert_groups.c.message_at)).where(alert_groups.c.alertmanager == alertmanager)
    return conn.execute(statement).scalar()


def _remembered(row: Row[*tuple[Any, ...]], channels: frozenset[str], now: Millis) -> Remembered:
    inhibited = AlertState.INHIBITED if row.inhibited else AlertState.FIRING
    return Remembered(
        alertmanager=row.alertmanager,
        fingerprint=row.fingerprint,
        labels=json.loads(row.labels),
        annotations=json.loads(row.annotations),
        severity=Severity(row.severity),
        state=AlertState.SILENCED if row.silenced else inhibited,
        starts_at=row.starts_at or 0,
        generator_url=row.generator_url,
        channels=channels,
        known=_known(row, now),
    )


def _known(row: Row[*tuple[Any, ...]], now: Millis) -> Known:
    return Known(
        acked_by=row.acked_by,
        acked_at=row.acked_at,
        ack_note=row.ack_note,
        silenced_by=row.silenced_by,
        silenced_until=row.silenced_until,
        flapping=row.flapping_until is not None and row.flapping_until > now,
    )
