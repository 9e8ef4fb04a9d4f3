"""The statements that fill a working set, each built once and run with its `keys`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Select, Table, Text, TextClause, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from relay.store.rows import AlertRow, EpisodeRow, GroupRow, IncidentRow, MembershipRow, PostRow
from relay.store.schema import alert_groups, alerts, episodes, incidents, memberships, posts


@dataclass(frozen=True, slots=True)
class Loading:
    """Rows are locked in the order they are asked for; who only reads along is not locked.

    Incidents, memberships and episodes have no locks of their own: who holds the group or the alert has them, too.
    """

    locks: TextClause
    groups_by_code: Select[Any]
    groups_by_incident: Select[Any]
    incidents: Select[Any]
    posts: Select[Any]
    alerts_by_code: Select[Any]
    alerts_by_id: Select[Any]
    episodes: Select[Any]
    listings: Select[Any]
    members: Select[Any]


def _keys() -> BindParameter[Any]:
    return bindparam("keys", expanding=True)


def _of(table: Table, row_type: Any) -> Select[Any]:
    return select(*(table.c[column.name] for column in fields(row_type)))


_LOCKS = text(
    "SELECT id FROM alert_groups WHERE id IN ("
    " SELECT id FROM alert_groups WHERE code = ANY(:groups)"
    " UNION SELECT g.id FROM alerts a JOIN memberships m ON m.alert_id = a.id JOIN incidents i ON i.id = m.incident_id"
    " JOIN alert_groups g ON g.id = i.group_id"
    " WHERE (a.code = ANY(:alerts) OR a.id = ANY(:alert_ids)) AND (i.closed_at IS NULL OR g.incident_id = i.id)"
    ") ORDER BY id FOR UPDATE"
).bindparams(
    bindparam("groups", type_=ARRAY(Text)),
    bindparam("alerts", type_=ARRAY(Text)),
    bindparam("alert_ids", type_=ARRAY(BigInteger)),
)
"""All groups of a change at once: its own, and those that list its alerts; for PostgreSQL, SQLite has one writer."""


def _build() -> Loading:
    groups, members = _of(alert_groups, GroupRow), _of(memberships, MembershipRow)
    known = _of(alerts, AlertRow).order_by(alerts.c.code, alerts.c.fingerprint).with_for_update()
    current = incidents.c.closed_at.is_(None) | (alert_groups.c.incident_id == incidents.c.id)
    return Loading(
        locks=_LOCKS,
        groups_by_code=groups.where(alert_groups.c.code.in_(_keys())).order_by(alert_groups.c.id).with_for_update(),
        groups_by_incident=groups.join(incidents, incidents.c.group_id == alert_groups.c.id)
        .where(incidents.c.id.in_(_keys()))
        .order_by(alert_groups.c.id)
        .with_for_update(of=alert_groups),
        incidents=_of(incidents, IncidentRow).where(incidents.c.id.in_(_keys())).order_by(incidents.c.id),
        posts=_of(posts, PostRow).where(posts.c.incident_id.in_(_keys())).order_by(posts.c.id).with_for_update(),
        alerts_by_code=known.where(alerts.c.code.in_(_keys())),
        alerts_by_id=known.where(alerts.c.id.in_(_keys())),
        episodes=_of(episodes, EpisodeRow).where(episodes.c.id.in_(_keys())),
        listings=members.join(incidents, incidents.c.id == memberships.c.incident_id)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(current, memberships.c.alert_id.in_(_keys())),
        members=members.where(memberships.c.incident_id.in_(_keys())),
    )


LOADING = _build()
