"""Which silences stand for which acks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from relay.clock import Millis
from relay.store.schema import alerts, episodes, mirrors


@dataclass(frozen=True, slots=True, kw_only=True)
class AckedEpisode:
    """An episode that fires and that somebody has."""

    id: int
    fingerprint: str
    labels: Mapping[str, str]
    acked_by: str
    ack_note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """The silence of an ack. `ends_at` None: somebody ended it in Alertmanager, and it is left so."""

    episode_id: int
    silence_id: str
    ends_at: Millis | None


def acked_episodes(conn: Connection, alertmanager: str) -> list[AckedEpisode]:
    statement = (
        select(episodes.c.id, alerts.c.fingerprint, alerts.c.labels, episodes.c.acked_by, episodes.c.ack_note)
        .join(episodes, episodes.c.id == alerts.c.episode_id)
        .where(alerts.c.alertmanager == alertmanager, alerts.c.firing.is_(True), alerts.c.exempt.is_(False))
        .where(episodes.c.acked_by != "")
    )
    return [AckedEpisode(**(row._asdict() | {"labels": json.loads(row.labels)})) for row in conn.execute(statement)]


def mirrors_of(conn: Connection, alertmanager: str) -> list[Mirror]:
    columns = (mirrors.c.episode_id, mirrors.c.silence_id, mirrors.c.ends_at)
    return [
        Mirror(**row._asdict()) for row in conn.execute(select(*columns).where(mirrors.c.alertmanager == alertmanager))
    ]


def save_mirror(conn: Connection, alertmanager: str, mirror: Mirror) -> None:
    values = {"silence_id": mirror.silence_id, "ends_at": mirror.ends_at}
    changed = conn.execute(update(mirrors).where(mirrors.c.episode_id == mirror.episode_id).values(**values))
    if not changed.rowcount:
        conn.execute(insert(mirrors).values(episode_id=mirror.episode_id, alertmanager=alertmanager, **values))


def drop_mirror(conn: Connection, episode_id: int) -> None:
    conn.execute(delete(mirrors).where(mirrors.c.episode_id == episode_id))
