"""The options that every channel of the config takes, whatever its type (`docs/reference/config.md`)."""

from __future__ import annotations

import functools
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from relay.clock import DAY, MINUTE
from relay.sections import Duration, Section

Language = Literal["en", "ru"]


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"{name!r} is no IANA time zone such as Europe/Moscow or UTC")
    return name


@functools.cache
def _zones() -> frozenset[str]:
    """Looks through hundreds of files: once for all channels, not for each."""
    return frozenset(available_timezones())


Timezone = Annotated[str, AfterValidator(_known_zone)]


class LimitOptions(Section):
    """How fast this destination may be sent to; what is absent keeps the platform's own limit."""

    per_second: Annotated[float, Field(gt=0)] | None = None
    per_minute: Annotated[int, Field(gt=0)] | None = None

    def windows(
        self, *, per_second: float | None = None, per_minute: int | None = None
    ) -> tuple[tuple[int, float], ...]:
        """Messages in so many seconds, for `relay.notification.Limits`: what is given here goes before these defaults."""
        second, minute = self.per_second or per_second, self.per_minute or per_minute
        found: list[tuple[int, float]] = []
        if second is not None:
            found.append((int(second), 1.0) if second >= 1 and float(second).is_integer() else (1, 1.0 / second))
        if minute is not None:
            found.append((minute, 60.0))
        return tuple(found)


class ChannelOptions(Section):
    """Base of each channel type's config model."""

    language: Language = "en"
    timezone: Timezone = "UTC"
    title: str | None = None
    subject: str | None = None
    reopen: Duration = 10 * MINUTE
    max_age: Annotated[Duration, Field(gt=0)] = DAY
    fallback: str | None = None
    limits: LimitOptions = LimitOptions()

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
