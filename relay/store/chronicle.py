"""The history as people read it: what happened to alerts, who did what, who was refused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, fields, replace

from sqlalchemy import Connection, insert, select

from relay.alerts import storable
from relay.ids import alert_code
from relay.store.rows import HistoryRow
from relay.store.schema import alerts, history, memberships
from relay.store.scope import CHUNK, chunks


def record_event(conn: Connection, row: HistoryRow) -> None:
    texts = {"actor": storable(row.actor), "detail": storable(row.detail)}
    conn.execute(insert(history).values(**(asdict(row) | texts)))


def record_for_incidents(
    conn: Connection,
    row: HistoryRow,
    alertmanager: str,
    fingerprints: Collection[str],
    new_id: Callable[[], int],
) -> None:
    """The event for each open incident that lists one of these alerts as firing; as it is where there is none."""
    found: set[int] = set()
    for some in chunks(fingerprints):
        codes = [alert_code(alertmanager, fingerprint) for fingerprint in some]
        statement = (
            select(memberships.c.incident_id)
            .join(alerts, alerts.c.id == memberships.c.alert_id)
            .where(alerts.c.code.in_(codes), alerts.c.alertmanager == alertmanager, alerts.c.fingerprint.in_(some))
            .where(alerts.c.firing.is_(True), memberships.c.open.is_(True))
        )
        found.update(conn.execute(statement).scalars())
    if not found:
        record_event(conn, row)
    for incident_id in sorted(found):
        record_event(conn, replace(row, id=new_id(), incident_id=incident_id))


def timeline(
    conn: Connection, *, alert_ids: Collection[int] = (), incident_ids: Collection[int] = (), limit: int = 15
) -> list[HistoryRow]:
    """The latest events of these alerts and incidents, oldest first."""
    names = [field.name for field in fields(HistoryRow)]
    wanted = history.c.alert_id.in_(list(alert_ids)[:CHUNK]) | history.c.incident_id.in_(list(incident_ids)[:CHUNK])
    statement = select(*(history.c[name] for name in names)).where(wanted)
    rows = conn.execute(statement.order_by(history.c.at.desc(), history.c.id.desc()).limit(limit))
    return [HistoryRow(**row._asdict()) for row in rows][::-1]
