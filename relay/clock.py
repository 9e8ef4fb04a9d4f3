"""Time as an argument: stored times come from a `Clock`, waits belong to the event loop.

All stored times are whole milliseconds since the Unix epoch (`Millis`): Alertmanager's webhook has nanoseconds and its
API milliseconds for the same instant, so anything finer would make equal instants differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Millis = int
Clock = Callable[[], Millis]

SECOND: Millis = 1000
MINUTE: Millis = 60 * SECOND
HOUR: Millis = 60 * MINUTE
DAY: Millis = 24 * HOUR
NOTICEABLE: Millis = 100


def system_clock() -> Millis:
    return time.time_ns() // 1_000_000


class CommonClock:
    """The database's clock where several relays share one, else our own: what one wrote as due must be due to all."""

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._apart: Millis = 0

    def __call__(self) -> Millis:
        return self._own() + self._apart

    def learn(self, now: Millis, *, took: Millis) -> None:
        """The database said that it is `now`; the question `took` so long, and the answer may be as old as that."""
        apart = now - self()
        if abs(apart) > took + NOTICEABLE:
            self._apart += apart


def to_datetime(at: Millis) -> datetime:
    """An aware UTC time; instants outside year 1 to 9999 are clamped instead of raising."""
    try:
        return datetime.fromtimestamp(at / 1000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.min.replace(tzinfo=UTC) if at < 0 else datetime.max.replace(tzinfo=UTC)


def to_iso(at: Millis | None) -> str | None:
    """As programs read it: `2026-05-04T03:12:07.123Z`."""
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at is not None else None
