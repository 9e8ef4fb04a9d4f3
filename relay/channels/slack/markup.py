"""Slack's mrkdwn: values made harmless and short in it, dates that each reader sees in local time, and its plain reading.

Slack decodes `&amp;`, `&lt;` and `&gt;` and knows no other escape (docs.slack.dev, "Formatting message text").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from relay.clock import to_datetime

ELLIPSIS = "…"
MAX_URL = 3000

_DATE = re.compile(r"<!date\^[^<>|]*\|([^<>]*)>")
_LINK = re.compile(r"<(?:https?:|mailto:)[^<>|]*\|([^<>]*)>")
_BARE_LINK = re.compile(r"<((?:https?:|mailto:)[^<>|]*)>")
_BROADCAST = re.compile(r"<(!(?:channel|here|everyone|subteam\^[^<>|]*)|@[^<>|]*)(?:\|[^<>]*)?>")
_WEIGHTS = {"&": 5, "<": 4, ">": 4, '"': 2, "\\": 2}
# A mark formats only where a word begins or ends, so `node_exporter` and `5*3` stay as they are.
_MARKS = re.compile(r"(?<!\w)[*_~`]|[*_~`](?!\w)")
_LOOKALIKES = {"*": "∗", "_": "ˍ", "~": "∼", "`": "ˋ"}
# Overrides of the writing direction and line separators: a label could make a host read backwards.
_UNFIT = dict.fromkeys((*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")
_UNFIT |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF), "")
_UNFIT |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


class Dialect:
    """What templates need beyond escaping, as `slack` in their options: each takes a raw value and returns safe mrkdwn.

    Limits count what Slack will count: characters after escaping, as JSON, in UTF-16 units.
    """

    def __init__(self, zone: ZoneInfo, *, plain: bool = False) -> None:
        self._zone = zone
        self._plain = plain

    def text(self, value: Any, limit: int = 1000) -> Markup:
        """One line of words: nothing in it formats, links or calls anyone."""
        return _escaped(_MARKS.sub(lambda mark: _LOOKALIKES[mark[0]], shorten(value, limit)))

    def code(self, value: Any, limit: int = 200) -> Markup:
        """One line in code style: exact, except for backticks."""
        if self._plain:
            return self.text(value, limit)
        line = shorten(value, limit).replace("`", "ˋ")
        return Markup("`") + _escaped(line) + Markup("`") if line else Markup("")

    def when(self, at: Any) -> Markup:
        """A time in milliseconds: local to each reader; its fallback and the plain text use the channel's zone."""
        if not isinstance(at, int):
            return Markup("")
        moment = _local(to_datetime(at), self._zone)
        fallback = f"{moment:%Y-%m-%d %H:%M %Z}"
        if self._plain:
            return _escaped(fallback)
        date = f"<!date^{at // 1000}^{{date_short_pretty}} {{time}}|{fallback}>"
        return Markup(date)  # noqa: S704  a number and a date

    def link(self, text: Any, url: Any, limit: int = 200) -> Markup:
        """A link; the text alone if the address is none of the web's."""
        label = self.text(text, limit)
        address = web_address(url)
        if address is None or not label:
            return label
        return Markup("<") + _escaped(address.replace("|", "%7C")) + Markup("|") + label + Markup(">")

    def button(self, label: Any, url: Any) -> Markup:
        """A line that becomes a link button; nothing if the address is none of the web's."""
        address = web_address(url)
        return Markup("[{}]({})").format(label, address) if address else Markup("")

    def pairs(self, pairs: Iterable[tuple[str, str]], limit: int) -> Markup:
        """Labels in one line, `name=value` each in code style, as many as fit; an ellipsis stands for the others."""
        fitting: list[Markup] = []
        for name, value in pairs:
            piece = self.code(f"{shorten(name, 100)}={value}", 300)
            limit -= weight(piece) + 1
            if limit < 0:
                fitting.append(Markup("…"))
                break
            fitting.append(piece)
        return Markup(" ").join(fitting)


def weight(text: str) -> int:
    """How much of Slack's limits a finished text takes: its UTF-16 units, quotes and backslashes twice (JSON)."""
    return len(text) + sum(character > "\uffff" or character in '"\\\n' for character in text)


def shorten(value: Any, limit: int) -> str:
    """The value on one line, cut so that it weighs at most `limit` once it is escaped."""
    line = " ".join(str(value)[: 8 * limit].translate(_UNFIT).split())
    if 5 * len(line) <= limit:
        return line
    left = limit
    for position, character in enumerate(line):
        left -= _WEIGHTS.get(character, 2 if character > "\uffff" else 1)
        if left < 0:
            return _cut(line, position, limit)
    return line


def _cut(line: str, position: int, limit: int) -> str:
    spent, kept = limit, position
    while kept and spent > limit - 1:  # room for the ellipsis
        kept -= 1
        spent = sum(_WEIGHTS.get(character, 2 if character > "\uffff" else 1) for character in line[:kept])
    return line[:kept].rstrip() + ELLIPSIS


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def readable(mrkdwn: str) -> str:
    """The text without formatting, links and dates, still escaped: what a notification or a screen reader says."""
    text = _DATE.sub(r"\1", mrkdwn)
    return _MARKS.sub("", _BARE_LINK.sub(r"\1", _LINK.sub(r"\1", text)))


def without_broadcasts(mrkdwn: str) -> str:
    """The text with mentions that would call people made readable only: `<!channel>` becomes `@channel`."""
    return _BROADCAST.sub(lambda match: "@" + match[1].lstrip("!@").partition("^")[0], mrkdwn)


def cut_mrkdwn(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units, never in the middle of an entity or of something in angle brackets."""
    if 2 * len(text) <= limit or units(text) <= limit:
        return text
    kept = limit - 1
    while units(text[:kept]) > limit - 1:
        kept -= max(1, (units(text[:kept]) - limit + 1) // 2)
    head = text[:kept]
    opened = head.rfind("<")
    if opened > head.rfind(">"):
        head = head[:opened]
    entity = head.rfind("&")
    if entity >= 0 and ";" not in head[entity:]:
        head = head[:entity]
    return head.rstrip() + ELLIPSIS


def units(text: str) -> int:
    """Length in UTF-16 code units: Slack does not say what it counts, this is never less."""
    return len(text) + sum(character > "\uffff" for character in text)


def web_address(url: Any) -> str | None:
    """The URL if it is an http or https one that Slack takes; else None."""
    address = str(url).strip()
    if not re.match(r"https?://[^/?#\s]", address, re.IGNORECASE) or units(address) > MAX_URL:
        return None
    if any(character in address for character in '<>"') or not address.isprintable() or " " in address:
        return None
    return address


def _escaped(text: str) -> Markup:
    return Markup(escape(text))  # noqa: S704  escaped right here, by Slack's rules instead of HTML's


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:  # the ends of the calendar
        return moment
