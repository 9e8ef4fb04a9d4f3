"""Whether there may be a silence, and how long: Alertmanagers, the limits of roles, the next morning."""

from __future__ import annotations

from datetime import timedelta

from relay.bot.desk import Desk
from relay.bot.values import Request, Sorry
from relay.clock import MINUTE, Millis, to_datetime
from relay.durations import format_duration

EXAMPLE = '/silence 2h alertname=HighLatency instance=~"db.*" -- deploying'
MORNING = 9


def longest(desk: Desk, request: Request) -> Millis | None:
    """What this person's role may; None for no bound."""
    return desk.config.max_silence.get(request.person.role) if request.person.role else None


def ensure_clusters(desk: Desk, request: Request) -> None:
    """Raises `Sorry` where there is no Alertmanager that could silence anything."""
    if not desk.clusters:
        raise Sorry(request.texts.gettext("No Alertmanager is configured: nothing can be asked or silenced."))


def ensure_allowed(desk: Desk, request: Request, ends: Millis | None) -> None:
    """Raises `Sorry` for a silence that is longer than this person's role may make, or shorter than makes sense."""
    _ = request.texts.gettext
    if ends is None:
        return
    if ends - request.now < MINUTE:
        raise Sorry(_("A silence lasts a minute at least. For example: %(example)s") % {"example": EXAMPLE})
    limit = longest(desk, request)
    if limit is not None and ends - request.now > limit:
        raise Sorry(_("Your role may silence for %(duration)s at most.") % {"duration": format_duration(limit)})


def next_morning(request: Request) -> Millis:
    """The next nine o'clock in the zone of the chat."""
    now = to_datetime(request.now).astimezone(request.place.zone)
    morning = now.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    if morning <= now:
        morning += timedelta(days=1)
    return int(morning.timestamp() * 1000)
