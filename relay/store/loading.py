"""The statements that fill a working set, each built once and run with its `keys`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import BindParameter, Select, Table, bindparam, select

from relay.store.rows import AlertRow, EpisodeRow, GroupRow, IncidentRow, MembershipRow, PostRow
from relay.store.schema import alert_groups, alerts, episodes, incidents, memberships, posts


@dataclass(frozen=True, slots=True)
class Loading:
    """Rows are locked in the order they are asked for; who only reads along is not locked."""

    groups_by_code: Select[Any]
    groups_by_id: Select[Any]
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


def _build() -> Loading:
    groups, members = _of(alert_groups, GroupRow), _of(memberships, MembershipRow)
    known = _of(alerts, AlertRow).order_by(alerts.c.fingerprint).with_for_update()
    current = incidents.c.closed_at.is_(None) | (alert_groups.c.incident_id == incidents.c.id)
    return Loading(
        groups_by_code=groups.where(alert_groups.c.code.in_(_keys())).order_by(alert_groups.c.id).with_for_update(),
        groups_by_id=groups.where(alert_groups.c.id.in_(_keys())).order_by(alert_groups.c.id).with_for_update(),
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
