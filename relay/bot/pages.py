"""Renders the bot's own messages: templates of `templates/bot` become text with entities, never markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from relay.bot.values import Answer, Button, Request
from relay.clock import Millis, to_datetime
from relay.notification import AlertView, Changes, IncidentView, Kind, Notice
from relay.rendering import Renderer
from relay.text import cut, parse_html

MAX_TEXT = 4096
MAX_ENTITIES = 100


class Pages:
    """One page per call. `view` or `alerts` are what the template's `words` speak of; the rest comes as options."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def show(
        self,
        request: Request,
        template: str,
        *,
        view: IncidentView | None = None,
        alerts: Sequence[AlertView] = (),
        rows: Sequence[Sequence[Button]] = (),
        edit: bool = False,
        **options: object,
    ) -> Answer:
        shown = view or _view_of(alerts, request.now)
        notice = Notice(kind=Kind.NEW, view=shown, changes=Changes(), post_id=0, now=request.now)
        html = self._renderer.render(
            f"bot/{template}.html.j2",
            notice,
            language=request.place.language,
            zone=request.place.zone,
            escape="html",
            options=options,
        )
        text, entities = parse_html(html)
        text, entities = cut(text, entities[:MAX_ENTITIES], MAX_TEXT)
        return Answer(text=text or "…", entities=entities, rows=rows, edit=edit)


def local_time(at: Millis, now: Millis, zone: ZoneInfo) -> str:
    """`03:12` today, `21.11. 03:12` on another day: short enough for a toast."""
    moment, today = _in_zone(at, zone), _in_zone(now, zone)
    return f"{moment:%H:%M}" if moment.date() == today.date() else f"{moment:%d.%m. %H:%M}"


def _in_zone(at: Millis, zone: ZoneInfo) -> datetime:
    return to_datetime(at).astimezone(zone)


def _view_of(alerts: Sequence[AlertView], now: Millis) -> IncidentView:
    return IncidentView(
        id=0,
        code="",
        alertmanager="",
        receiver="",
        group_labels={},
        external_url="",
        alerts=tuple(alerts),
        revision=0,
        opened_at=now,
    )
