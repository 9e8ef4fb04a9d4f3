"""Makes a Telegram message of a notice: text with entities instead of markup, buttons, and the list as a document."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from relay.channels.telegram_options import TelegramOptions
from relay.notification import Changes, IncidentView, Kind, Notice, Remote
from relay.rendering import Escape, Renderer
from relay.text import Entity, checked_link, cut, one_line, parse_html, utf16_len

Keyboard = Callable[[Notice], Sequence[Sequence[tuple[str, str]]]]
"""Rows of (caption, callback_data) that go before the links; what it returns is up to the bot."""

MAX_TEXT = 4096  # UTF-16 units after parsing
LISTED = 10  # alerts that a message names; more follow as a document
MAX_DOCUMENT = 1_000_000
MAX_LINK_TEXT = 512
MAX_CALLBACK_DATA = 64  # bytes

_FEWER = (6, 3, 1)  # where ten are too long
_ENTITY_LIMIT = 100  # Telegram ignores formatting beyond
_LINKS = (("Runbook", ("runbook_url", "runbook")), ("Dashboard", ("dashboard_url", "dashboard")))
_TEMPLATES = {Kind.REPLY: "reply", Kind.FAREWELL: "farewell"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button: it opens `url` or sends `data` back to the bot."""

    caption: str
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file with its name."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramContent:
    """A rendered notice. `text` is the caption where there is a document."""

    kind: Kind
    text: str
    entities: tuple[Entity, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    document: Document | None = None
    silent: bool = False
    plain: bool = False
    remote: Remote | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for what looks equal, wherever and however loudly it is sent."""
        shown = json.dumps(self._shown(), sort_keys=True, ensure_ascii=False).encode()
        document = self.document.body if self.document else b""
        return hashlib.sha256(shown + b"\0" + document).hexdigest()

    @property
    def files(self) -> Mapping[str, bytes]:
        request = {"kind": self.kind.value, "disable_notification": self.silent, **self._shown()}
        message = {
            "message.txt": self.text.encode(),
            "message.json": json.dumps(request, ensure_ascii=False, indent=2).encode(),
        }
        return {self.document.name: self.document.body, **message} if self.document else message

    def _shown(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "entities": [
                {key: value for key, value in asdict(one).items() if value is not None} for one in self.entities
            ],
            "inline_keyboard": [
                [{"text": one.caption} | ({"url": one.url} if one.url else {"callback_data": one.data}) for one in row]
                for row in self.buttons
            ],
        }


def buttonable(url: str) -> bool:
    """Whether Telegram takes the URL for a button; it refuses the whole message for a host without a dot."""
    checked = checked_link(url)
    if checked is None:
        return False
    parts = urlsplit(checked)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in {"http", "https"}:
        return False
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return "." in host and all(host.split("."))


def usable_rows(rows: Iterable[Iterable[tuple[str, str]]]) -> tuple[tuple[Button, ...], ...]:
    """The buttons that Telegram takes; for any other it would refuse the whole message."""
    made = [[Button(caption=one_line(caption, 64), data=data) for caption, data in row] for row in rows]
    fine = (
        tuple(one for one in row if one.caption and 1 <= len(one.data.encode()) <= MAX_CALLBACK_DATA) for row in made
    )
    return tuple(row for row in fine if row)


class Composer:
    """Renders the notices of one channel. Pure: no I/O."""

    def __init__(self, renderer: Renderer, options: TelegramOptions, keyboard: Keyboard | None) -> None:
        self._renderer = renderer
        self._options = options
        self._keyboard = keyboard

    def compose(self, notice: Notice) -> TelegramContent:
        if notice.kind is Kind.ATTACH:
            return self._document(notice)
        links = self._links(notice)
        pressable = () if notice.plain else tuple(link for link in links if buttonable(link.url))
        below = "" if notice.kind in _TEMPLATES else _lines(link for link in links if link not in pressable)
        text, entities = _with_tail(*self._fitting(notice, MAX_TEXT - utf16_len(below)), below)
        rows = () if notice.kind is Kind.FAREWELL else self._rows(notice)
        return TelegramContent(
            kind=notice.kind,
            text=text,
            entities=() if notice.plain else entities,
            buttons=(*rows, *([pressable] if pressable else [])),
            silent=notice.silent,
            plain=notice.plain,
            remote=notice.remote,
        )

    def overflows(self, view: IncidentView) -> bool:
        """Whether the living message leaves something out: it lists ten alerts, or fewer where their texts are long."""
        if len(view.alerts) > LISTED:
            return True
        notice = Notice(kind=Kind.NEW, view=view, changes=Changes(), post_id=0, now=view.opened_at)
        return utf16_len(self._text(notice, LISTED)[0]) > MAX_TEXT

    def _fitting(self, notice: Notice, room: int) -> tuple[str, tuple[Entity, ...]]:
        """The text within so many units: first with fewer alerts listed, so that what is left is whole; then cut."""
        text, entities = self._text(notice, LISTED)
        for listed in _FEWER if len(notice.view.alerts) > 1 else ():
            if utf16_len(text) <= room:
                break
            text, entities = self._text(notice, listed)
        return cut(text, entities[: _ENTITY_LIMIT - 1], room)

    def _text(self, notice: Notice, listed: int) -> tuple[str, tuple[Entity, ...]]:
        template = _TEMPLATES.get(notice.kind, "message")
        text, entities = parse_html(self._render(f"telegram/{template}.html.j2", notice, "html", listed))
        # An empty message would be refused; a user's template may well render nothing for some alert.
        return (text, entities) if text else (_names(notice.view), ())

    def _document(self, notice: Notice) -> TelegramContent:
        listing = self._render("telegram/list.txt.j2", notice, "none", enough=MAX_DOCUMENT + 1)
        document = Document(name=f"alerts-{notice.view.code}.txt", body=bounded(listing))
        return TelegramContent(
            kind=notice.kind,
            text=self._inline("{{ words.counts }}", notice),
            document=document,
            silent=True,  # the message before it has rung
            plain=notice.plain,
            remote=notice.remote,
        )

    def _render(
        self, template: str, notice: Notice, escape: Escape, listed: int = LISTED, enough: int | None = None
    ) -> str:
        options = {"title": self._title(notice), "listed": listed}
        return self._renderer.render(
            template,
            notice,
            language=self._options.language,
            zone=self._options.zone,
            escape=escape,
            options=options,
            enough=enough,
        )

    def _title(self, notice: Notice) -> str:
        return self._inline(self._options.title, notice) if self._options.title else ""

    def _word(self, msgid: str, notice: Notice) -> str:
        return self._inline(f"{{{{ _({msgid!r}) }}}}", notice) or msgid

    def _inline(self, source: str, notice: Notice) -> str:
        text = self._renderer.render_inline(source, notice, language=self._options.language, zone=self._options.zone)
        return one_line(text, 256)

    def _links(self, notice: Notice) -> tuple[Button, ...]:
        alerts = notice.view.alerts
        common = notice.view.common_annotations
        notes = [common, *(alert.annotations for alert in alerts[:LISTED])]
        found = [(caption, _first(notes, names)) for caption, names in _LINKS]
        found.append(("Source", next((checked_link(alert.generator_url) for alert in alerts[:1]), None)))
        return tuple(Button(caption=self._word(caption, notice), url=url) for caption, url in found if url)

    def _rows(self, notice: Notice) -> tuple[tuple[Button, ...], ...]:
        return usable_rows(self._keyboard(notice)) if self._keyboard else ()


def _first(notes: Sequence[Mapping[str, str]], names: Sequence[str]) -> str | None:
    """The first usable URL: what all alerts share goes before what the worst one says."""
    for note in notes:
        for name in names:
            if name in note and (url := checked_link(note[name])):
                return url
    return None


def _lines(links: Iterable[Button]) -> str:
    """The links that no button may hold, to stand below the text."""
    lines = [f"{link.caption}: {link.url}" for link in links if utf16_len(link.url) <= MAX_LINK_TEXT]
    return "".join(["\n", *(f"\n{line}" for line in lines)]) if lines else ""


def _with_tail(text: str, entities: tuple[Entity, ...], tail: str) -> tuple[str, tuple[Entity, ...]]:
    if not tail:
        return text, entities
    lines = tail.lstrip("\n")
    offset = utf16_len(text) + utf16_len(tail) - utf16_len(lines)
    return text + tail, (*entities, Entity(type="expandable_blockquote", offset=offset, length=utf16_len(lines)))


def _names(view: IncidentView) -> str:
    names = dict.fromkeys(alert.name for alert in view.alerts if alert.name)
    return one_line(f"{view.severity.label}: {', '.join(names)}", 256)


def bounded(listing: str) -> bytes:
    """The file's bytes, at most a megabyte of whole lines."""
    body = listing.encode("utf-8", "replace")
    if len(body) <= MAX_DOCUMENT:
        return body
    head = body[: MAX_DOCUMENT - 4]
    return head[: head.rfind(b"\n") + 1 or len(head)].decode(errors="ignore").encode() + "…\n".encode()
