"""How many alerts, how noisy, how fast people were: figures over the episodes of a stretch of time."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import Connection, select

from relay.clock import Millis
from relay.severity import Severity
from relay.store.schema import alerts, episodes

NOISIEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityFigures:
    """Episodes of one severity; the means are None where there is nothing to take a mean of."""

    severity: Severity
    episodes: int
    acked: int
    time_to_ack: Millis | None
    time_to_resolve: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """`severities` has the most severe first, `noisiest` names with their episodes."""

    total: int
    severities: list[SeverityFigures]
    noisiest: list[tuple[str, int]]


@dataclass(slots=True)
class _Sums:
    episodes: int = 0
    to_ack: list[Millis] = field(default_factory=list)
    to_resolve: list[Millis] = field(default_factory=list)


def statistics(conn: Connection, since: Millis) -> Statistics:
    """Over the episodes that began since then; test alerts are left out."""
    sums: dict[int, _Sums] = {}
    names: Counter[str] = Counter()
    statement = (
        select(
            alerts.c.severity, alerts.c.labels, episodes.c.starts_at, episodes.c.opened_at, episodes.c.ends_at,
            episodes.c.acked_at,
        )
        .join(alerts, alerts.c.id == episodes.c.alert_id)
        .where(episodes.c.opened_at >= since, alerts.c.exempt.is_(False))
    )  # fmt: skip
    for row in conn.execute(statement):
        one = sums.setdefault(row.severity, _Sums())
        one.episodes += 1
        names[_name(row.labels)] += 1
        if row.acked_at is not None:
            one.to_ack.append(max(row.acked_at - row.opened_at, 0))
        if row.ends_at is not None and row.starts_at is not None:
            one.to_resolve.append(max(row.ends_at - row.starts_at, 0))
    return Statistics(
        total=sum(one.episodes for one in sums.values()),
        severities=[
            SeverityFigures(
                severity=Severity(level),
                episodes=one.episodes,
                acked=len(one.to_ack),
                time_to_ack=_mean(one.to_ack),
                time_to_resolve=_mean(one.to_resolve),
            )
            for level, one in sorted(sums.items(), reverse=True)
        ],
        noisiest=names.most_common(NOISIEST),
    )


@lru_cache(maxsize=4096)
def _name(labels: str) -> str:
    name: str = json.loads(labels).get("alertname", "")
    return name


def _mean(lengths: list[Millis]) -> Millis | None:
    return sum(lengths) // len(lengths) if lengths else None
