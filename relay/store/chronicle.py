"""The history as people read it: what happened to alerts, who did what, who was refused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from relay.alerts import storable
from relay.store.rows import HistoryRow
from relay.store.schema import history
from relay.store.scope import CHUNK


def record_event(conn: Connection, row: HistoryRow) -> None:
    texts = {"actor": storable(row.actor), "detail": storable(row.detail)}
    conn.execute(insert(history).values(**(asdict(row) | texts)))


def timeline(
    conn: Connection, *, alert_ids: Collection[int] = (), incident_ids: Collection[int] = (), limit: int = 15
) -> list[HistoryRow]:
    """The latest events of these alerts and incidents, oldest first."""
    names = [field.name for field in fields(HistoryRow)]
    wanted = history.c.alert_id.in_(list(alert_ids)[:CHUNK]) | history.c.incident_id.in_(list(incident_ids)[:CHUNK])
    statement = select(*(history.c[name] for name in names)).where(wanted)
    rows = conn.execute(statement.order_by(history.c.at.desc(), history.c.id.desc()).limit(limit))
    return [HistoryRow(**row._asdict()) for row in rows][::-1]
