"""Figures about the state, for `/health`, the metrics and people."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from relay.clock import Millis
from relay.severity import Severity
from relay.store.schema import alert_groups, alerts, destinations, posts


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFigures:
    """How a channel is doing. Times are milliseconds since 1970."""

    pending: int = 0
    dead: int = 0
    oldest: Millis | None = None  # behind since then
    last_success: Millis | None = None
    last_failure: Millis | None = None
    failing_since: Millis | None = None
    paused_since: Millis | None = None  # nothing is sent there since then but one probe at a time
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One look at everything that is counted."""

    channels: dict[str, ChannelFigures]
    alerts: dict[tuple[Severity, str], int]  # (severity, state) -> alerts that fire
    last_webhook: dict[str, Millis]  # by alertmanager


def overview(conn: Connection) -> Overview:
    channels: dict[str, ChannelFigures] = {}
    # two statements, each answered by an index that holds nothing else
    behind = select(posts.c.channel, func.count(), func.min(posts.c.since)).group_by(posts.c.channel)
    for channel, pending, oldest in conn.execute(behind.where(posts.c.since.is_not(None), posts.c.state == "live")):
        channels[channel] = ChannelFigures(pending=pending, oldest=oldest)
    dead = select(posts.c.channel, func.count()).group_by(posts.c.channel).where(posts.c.state == "dead")
    for channel, count in conn.execute(dead):
        channels[channel] = replace(channels.get(channel, ChannelFigures()), dead=count)
    for row in conn.execute(select(destinations)):
        channels[row.key] = replace(
            channels.get(row.key, ChannelFigures()),
            last_success=row.succeeded_at,
            last_failure=row.failed_at,
            failing_since=row.failing_since,
            paused_since=row.paused_since,
            reason=row.reason,
            detail=row.detail,
        )
    return Overview(channels=channels, alerts=_alerts(conn), last_webhook=_last_webhook(conn))


def _alerts(conn: Connection) -> dict[tuple[Severity, str], int]:
    statement = select(alerts.c.severity, alerts.c.silenced, alerts.c.inhibited, func.count()).where(
        alerts.c.firing.is_(True)
    )
    found: dict[tuple[Severity, str], int] = {}
    for severity, silenced, inhibited, count in conn.execute(
        statement.group_by(alerts.c.severity, alerts.c.silenced, alerts.c.inhibited)
    ):
        state = "silenced" if silenced else "inhibited" if inhibited else "firing"
        key = (Severity(severity), state)
        found[key] = found.get(key, 0) + count
    return found


def _last_webhook(conn: Connection) -> dict[str, Millis]:
    statement = select(alert_groups.c.alertmanager, func.max(alert_groups.c.message_at))
    return {name: at for name, at in conn.execute(statement.group_by(alert_groups.c.alertmanager)) if at is not None}
