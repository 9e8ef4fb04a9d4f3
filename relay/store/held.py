"""What the state holds as firing or open, for the changes that go over all of it: poll, timers, another config."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from relay.clock import Millis
from relay.store.schema import alert_groups, alerts, incidents


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An alert that we show as firing."""

    id: int
    fingerprint: str
    seen_at: Millis
    silenced: bool
    inhibited: bool
    silenced_by: str
    silenced_until: Millis | None
    unconfirmed: bool


def held_alerts(conn: Connection, alertmanager: str) -> list[Held]:
    """Alerts of a cluster that we show as firing; test alerts are left out, the API does not know them."""
    names = list(Held.__dataclass_fields__)
    statement = select(*(alerts.c[name] for name in names)).where(
        alerts.c.alertmanager == alertmanager, alerts.c.firing.is_(True), alerts.c.exempt.is_(False)
    )
    found = []
    for row in conn.execute(statement):
        values = dict(zip(names, row, strict=True))
        values["seen_at"] = values["seen_at"] or 0
        found.append(Held(**values))
    return found


def open_incidents(conn: Connection, closed_since: Millis | None = None) -> list[int]:
    """Those that run; with `closed_since` also those that ended later than that and may go on."""
    runs = incidents.c.closed_at.is_(None)
    may_go_on = runs if closed_since is None else runs | (incidents.c.closed_at >= closed_since)
    return list(conn.execute(select(incidents.c.id).where(may_go_on)).scalars())


def orphaned_alerts(conn: Connection, clusters: Collection[str]) -> list[int]:
    """Alerts that we show as firing, of all clusters but these."""
    firing = select(alerts.c.id).where(alerts.c.firing.is_(True), alerts.c.alertmanager.not_in(list(clusters)))
    return list(conn.execute(firing).scalars())


def truncated_incidents(conn: Connection, alertmanager: str) -> list[int]:
    """Open incidents of a cluster that only wait for alerts which Alertmanager counted and did not list."""
    statement = (
        select(incidents.c.id)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(incidents.c.closed_at.is_(None), incidents.c.truncated > 0, incidents.c.firing == 0)
        .where(alert_groups.c.alertmanager == alertmanager)
    )
    return list(conn.execute(statement).scalars())


def quiet_again(conn: Connection, now: Millis) -> list[int]:
    """Flapping alerts that were quiet long enough."""
    return list(conn.execute(select(alerts.c.id).where(alerts.c.flapping_until <= now)).scalars())
