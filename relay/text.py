"""Text as Telegram measures and formats it: UTF-16 lengths, entities made of HTML, and cuts that break neither.

The rules are those of https://core.telegram.org/bots/api#formatting-options. Every function takes any input.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html.entities import html5
from urllib.parse import urlsplit

ELLIPSIS = "…"

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)([^<>]{0,8192})>")
_ATTRIBUTE = re.compile(r"(?<![a-zA-Z-])([a-zA-Z-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
_REFERENCE = re.compile(r"&(#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,7}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# Telegram's server drops or blanks these itself, which would move every entity behind them. U+2028 to U+202E are line
# separators and the overrides of the writing direction: with them a label could make a host read backwards. The isolates
# (U+2066 to U+2069) it lets through, with which a label would turn the rest of its line.
_UNSENDABLE = {code: " " for code in range(32) if code != 10} | {0x7F: " "} | dict.fromkeys(range(0x2028, 0x202F), "")
_UNSENDABLE |= dict.fromkeys(range(0x2066, 0x206A), "") | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")

_STYLES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
}
_VERBATIM = ("code", "pre")
_QUOTES = ("blockquote", "expandable_blockquote")
_MAX_URL = 2048
_MAX_DEPTH = 32  # more is no one's markup, and each open tag costs a step for each stretch of text


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Formatting of a stretch of text; `offset` and `length` count UTF-16 code units, `type` is the Bot API's."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None

    @property
    def end(self) -> int:
        return self.offset + self.length


def utf16_len(text: str) -> int:
    """Length in UTF-16 code units, Telegram's measure: an emoji beyond the basic plane counts two."""
    return len(text) + sum(character > "\uffff" for character in text)


def sendable(text: str) -> str:
    """The text without what Telegram strips: control characters, overrides of direction, lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_UNSENDABLE)


def one_line(text: str, limit: int) -> str:
    """The text on one line, runs of blanks as one, at most `limit` UTF-16 units with an ellipsis for what was cut."""
    return cut(" ".join(sendable(text).split()), (), limit)[0]


def checked_link(url: str) -> str | None:
    """The URL if a message may link to it: http, https or tg with a host, or mailto with an address; else None."""
    url = url.strip()
    if len(url) > _MAX_URL or any(character.isspace() or not character.isprintable() for character in url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    if parts.scheme == "mailto":
        return url if "@" in parts.path else None
    return url if parts.scheme in {"http", "https", "tg"} and host else None


def cut(text: str, entities: Sequence[Entity], limit: int) -> tuple[str, tuple[Entity, ...]]:
    """The text and its entities within `limit` UTF-16 units, with an ellipsis when something had to go.

    A surrogate pair is never split and no entity reaches beyond what is left of the text.
    """
    if utf16_len(text) <= limit:
        return text, tuple(entities)
    if limit < 1:
        return "", ()
    kept = _first_units(text, limit - 1).rstrip()
    end = utf16_len(kept)
    clipped = (replace(entity, length=min(entity.end, end) - entity.offset) for entity in entities)
    return kept + ELLIPSIS, tuple(entity for entity in clipped if entity.length > 0)


def _first_units(text: str, units: int) -> str:
    head = text[:units]
    while (excess := utf16_len(head) - units) > 0:
        head = head[: len(head) - (excess + 1) // 2]
    return head


def parse_html(source: str) -> tuple[str, tuple[Entity, ...]]:
    """Plain text and entities of HTML as Telegram knows it, tolerant of any input.

    Unknown tags vanish and their text stays (`<br>` is a line break), unbalanced ones end with their parent or the
    text, links that Telegram would refuse become text. Surrounding whitespace goes, since Telegram would strip it.
    """
    reader = _Reader()
    position = 0
    source = _without_comments(sendable(source))
    for tag in _TAG.finditer(source):
        reader.text(source[position : tag.start()])
        position = tag.end()
        reader.tag(tag[2].lower(), tag[3], closing=bool(tag[1]))
    reader.text(source[position:])
    return reader.finish()


def _without_comments(source: str) -> str:
    kept = []
    while (start := source.find("<!--")) >= 0 and (end := source.find("-->", start + 4)) >= 0:
        kept.append(source[:start])
        source = source[end + 3 :]
    return "".join([*kept, source])


def _resolve(match: re.Match[str]) -> str:
    name = match[1]
    if name.startswith("#"):
        return sendable(html.unescape(match[0]))
    return html5.get(f"{name};", match[0])


@dataclass(slots=True)
class _Open:
    """An open tag: what it means, and the last stretch of text it covers, as indexes of characters."""

    tag: str
    style: str | None
    url: str | None = None
    language: str | None = None
    start: int = -1
    end: int = -1


class _Reader:
    """Collects text and keeps the stack of open tags; a tag becomes as many entities as Telegram's nesting needs."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._stack: list[_Open] = []
        self._found: list[tuple[int, int, _Open]] = []

    def text(self, raw: str) -> None:
        if not raw:
            return
        piece = _REFERENCE.sub(_resolve, raw)
        start, self._length = self._length, self._length + len(piece)
        self._parts.append(piece)
        verbatim = any(entry.style in _VERBATIM for entry in self._stack)
        for entry in self._stack:
            # Code takes no other formatting (bold around it is split), but may stand in a quotation.
            if entry.style is None or (verbatim and entry.style not in _VERBATIM + _QUOTES):
                continue
            if entry.end != start:
                self._note(entry)
                entry.start = start
            entry.end = self._length

    def tag(self, name: str, attributes: str, *, closing: bool) -> None:
        if name == "br":
            self.text("\n")
        elif closing:
            self._close(name)
        else:
            self._open(name, attributes)

    def finish(self) -> tuple[str, tuple[Entity, ...]]:
        while self._stack:
            self._note(self._stack.pop())
        text = "".join(self._parts)
        units = _Units(text)
        found = (self._entity(text, units, *one) for one in reversed(self._found))  # outer before inner
        entities = sorted((entity for entity in found if entity), key=lambda entity: (entity.offset, -entity.length))
        return text.strip(), tuple(entities)

    @staticmethod
    def _entity(text: str, units: _Units, start: int, end: int, entry: _Open) -> Entity | None:
        covered = text[start:end]
        start += len(covered) - len(covered.lstrip())
        end -= len(covered) - len(covered.rstrip())
        if start >= end:
            return None
        offset = units.before(start) - units.before(len(text) - len(text.lstrip()))
        length = units.before(end) - units.before(start)
        return Entity(type=entry.style or "", offset=offset, length=length, url=entry.url, language=entry.language)

    def _note(self, entry: _Open) -> None:
        if entry.style and entry.start >= 0:
            self._found.append((entry.start, entry.end, entry))

    def _open(self, name: str, attributes: str) -> None:
        given = {
            match[1].lower(): _REFERENCE.sub(_resolve, match[2] or match[3] or match[4] or "")
            for match in _ATTRIBUTE.finditer(attributes)
        }
        entry = self._meaning(name, given)
        styles = {one.style for one in self._stack}
        if name == "code" and self._stack and self._stack[-1].style == "pre" and "class" in given:
            language = given["class"].removeprefix("language-").strip()
            self._stack[-1].language = language[:64] or None
        inside_quote = entry.style in _QUOTES and styles & set(_QUOTES)
        inside_code = entry.style is not None and styles & set(_VERBATIM)
        code_in_link = entry.style in _VERBATIM and "text_link" in styles
        if entry.style in styles or inside_quote or inside_code or code_in_link:
            entry.style = None
        if entry.style in _QUOTES:
            self._break()
        if len(self._stack) < _MAX_DEPTH:
            self._stack.append(entry)

    @staticmethod
    def _meaning(name: str, given: dict[str, str]) -> _Open:
        if name == "a":
            url = checked_link(given.get("href", ""))
            return _Open(name, "text_link" if url else None, url=url)
        if name == "span":
            return _Open(name, "spoiler" if given.get("class") == "tg-spoiler" else None)
        if name == "blockquote":
            return _Open(name, "expandable_blockquote" if "expandable" in given else "blockquote")
        return _Open(name, name if name in _VERBATIM else _STYLES.get(name))

    def _close(self, name: str) -> None:
        if not any(entry.tag == name for entry in self._stack):
            return
        while self._stack:
            entry = self._stack.pop()
            self._note(entry)
            if entry.style in _QUOTES:
                self._break()
            if entry.tag == name:
                return

    def _break(self) -> None:
        """What is open ends and begins anew: code in a quotation splits what is around both, which must not reach into it."""
        for entry in self._stack:
            self._note(entry)
            entry.start = entry.end = -1


class _Units:
    """UTF-16 offsets of character indexes, in one pass over the text."""

    def __init__(self, text: str) -> None:
        self._wide = [index for index, character in enumerate(text) if character > "\uffff"]

    def before(self, index: int) -> int:
        return index + bisect_left(self._wide, index)
