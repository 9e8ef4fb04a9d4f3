"""What is known of each channel's far side: when it last took something, since when it takes nothing, where it moved to."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from relay.clock import MINUTE, Millis
from relay.notification import DeliveryError
from relay.store.schema import destinations

_WELL: Mapping[str, Any] = {
    "failing_since": None,
    "paused_since": None,
    "permanent": False,
    "reason": "",
    "detail": "",
}
CALLS_FOR: Millis = MINUTE
"""The longest window of a limit."""
MOST_CALLS = 60
"""More than any platform allows in that time of its own."""


def record_success(conn: Connection, channel: str, now: Millis, *, refused: str = "") -> None:
    """The channel's far side took something: whatever it said before is over. `refused`: for whom it does not, and why."""
    values = {"succeeded_at": now, **_WELL}
    if refused:
        detail = f"refused for good: {refused}"[:1000]
        values |= {"failed_at": now, "failing_since": now, "reason": "not_found", "detail": detail}
    _save(conn, channel, values, called_at=now)


def forget_failure(conn: Connection, channel: str) -> None:
    """Whatever the channel's far side said: it is another one now."""
    _save(conn, channel, dict(_WELL))


def record_recovery(conn: Connection, channel: str, failed_at: Millis | None) -> bool:
    """The channel's far side says that it would take something now; False if a call has failed since `failed_at`."""
    same = (destinations.c.key == channel, destinations.c.failed_at == failed_at)
    return conn.execute(update(destinations).where(*same).values(**_WELL)).rowcount > 0


def record_refusal(conn: Connection, channel: str, now: Millis, error: DeliveryError) -> None:
    """A call failed. Only a failure of the destination pauses the channel; one text that it refuses says little of it."""
    values: dict[str, Any] = {"failed_at": now, "reason": error.reason, "detail": error.detail[:1000]}
    values["failing_since"] = func.coalesce(destinations.c.failing_since, now)
    if pauses_channel(error):
        values["paused_since"] = func.coalesce(destinations.c.paused_since, now)
        values["permanent"] = error.permanent
    _save(conn, channel, values, called_at=now)


def recent_calls(conn: Connection, channels: Collection[str], now: Millis) -> list[Millis]:
    """When these channels were sent something lately, by whichever relay."""
    kept = select(destinations.c.calls).where(destinations.c.key.in_(list(channels)))
    return sorted(at for calls in conn.execute(kept).scalars() for at in _recent(calls, now))


def _recent(calls: str, now: Millis) -> list[Millis]:
    return [at for at in json.loads(calls or "[]") if now - CALLS_FOR < at <= now]


def pauses_channel(error: DeliveryError) -> bool:
    """Whether nothing can be sent to the whole channel now. A chat that moved is followed at once."""
    return error.scope == "destination" and error.reason != "moved"


def remember_move(conn: Connection, destination: str, moved_to: str) -> None:
    """A chat has another address from now on. `destination` is the configured one, `moved_to` JSON."""
    _save(conn, destination, {"moved_to": moved_to})


def moves(conn: Connection) -> dict[str, str]:
    """Configured destination to its new address (JSON)."""
    rows = conn.execute(select(destinations.c.key, destinations.c.moved_to).where(destinations.c.moved_to.is_not(None)))
    return {row.key: row.moved_to for row in rows if row.moved_to}


def _save(conn: Connection, key: str, values: dict[str, Any], *, called_at: Millis | None = None) -> None:
    known = conn.execute(select(destinations.c.calls).where(destinations.c.key == key)).first()
    if known is None:
        conn.execute(insert(destinations).values(key=key))
    if called_at is not None:
        earlier = _recent(known.calls, called_at) if known is not None else []
        values["calls"] = json.dumps([*earlier, called_at][-MOST_CALLS:])
    conn.execute(update(destinations).where(destinations.c.key == key).values(**values))
