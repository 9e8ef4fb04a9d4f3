"""Whether what a group has to say arrived, channel by channel: for people and programs that wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from relay.store.schema import alert_groups, destinations, posts


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One channel's post. `reason` and `detail` are of the last failure, its own or else its channel's, if that lasts."""

    channel: str
    state: Literal["pending", "shown", "dead"]
    attempts: int
    reason: str
    detail: str


def arrivals(conn: Connection, code: str) -> list[Arrival]:
    """Of the current or last incident of the group with this code; nothing for a code that nobody knows."""
    statement = (
        select(
            posts.c.channel, posts.c.state, posts.c.since, posts.c.shown_rev, posts.c.attempts,
            posts.c.reason, posts.c.detail,
            destinations.c.failing_since, destinations.c.reason.label("last_reason"),
            destinations.c.detail.label("last_detail"),
        )
        .join(alert_groups, alert_groups.c.incident_id == posts.c.incident_id)
        .outerjoin(destinations, destinations.c.key == posts.c.channel)
        .where(alert_groups.c.code == code, posts.c.farewell.is_(False))
        .order_by(posts.c.channel)
    )  # fmt: skip
    found = []
    for row in conn.execute(statement):
        waits = row.since is not None or not row.shown_rev
        state: Literal["pending", "shown", "dead"] = "dead" if row.state == "dead" else "pending" if waits else "shown"
        failing = state == "pending" and not row.reason and row.failing_since is not None
        reason, detail = (row.last_reason, row.last_detail) if failing else (row.reason, row.detail)
        found.append(
            Arrival(channel=row.channel, state=state, attempts=row.attempts, reason=reason or "", detail=detail or "")
        )
    return found
