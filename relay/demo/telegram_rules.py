"""The Bot API's rules for texts, entities and keyboards, written a second time, so that the channel is not its own judge.

They follow tdlib (`MessageEntity.cpp`, `LinkManager.cpp`, `ReplyMarkup.cpp`) as far as a bot can notice; where the real
server repairs silently what is plainly a mistake, this one refuses and says "strict".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from relay.demo.telegram_chats import Buttons, Refusal

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_ENTITIES = 100

_TAGS = {
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
    "code": "code",
    "pre": "pre",
}
_TYPES = {
    *_TAGS.values(),
    "text_link",
    "text_mention",
    "blockquote",
    "expandable_blockquote",
    "date_time",
    "custom_emoji",
}
_AUTOMATIC = {"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bank_card_number"}
_ACTIONS = ("url", "callback_data", "web_app", "login_url", "switch_inline_query", "copy_text", "pay")
_STYLES = {"danger", "success", "primary"}


def _wide(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1


def units(text: str) -> int:
    return sum(map(_wide, text))


def _cleaned(character: str) -> str:
    """Tdlib's `clean_input_string`: control characters become blanks, some vanish."""
    code = ord(character)
    if code == 13 or 0x2028 <= code <= 0x202E or code in {0x333, 0x33F, 0x30A}:
        return ""
    return " " if code < 32 and code != 10 else character


def formatted(params: Mapping[str, Any], name: str = "text", limit: int = MAX_TEXT) -> tuple[str, list[dict[str, Any]]]:
    """Text and entities as they would be stored. Raises `Refusal`."""
    text = params.get(name, "")
    if not isinstance(text, str):
        raise Refusal(f"{name} must be a string")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise Refusal("text must be encoded in UTF-8")
    entity_name = "entities" if name == "text" else f"{name}_entities"
    entities = decoded(params.get(entity_name), list, entity_name) or []
    mode = params.get("parse_mode")
    if mode and entities:
        raise Refusal(f"strict: give either parse_mode or {entity_name}")
    if mode:
        if str(mode).lower() != "html":
            raise Refusal("unsupported parse_mode: this stand-in knows HTML alone")
        text, entities = read_html(text)
    text, entities = _settled(text, [_checked(entity, text) for entity in entities])
    if not text and name == "text":
        raise Refusal("message text is empty")
    if units(text) > limit:
        raise Refusal("message is too long" if name == "text" else "message caption is too long")
    return text, entities[:MAX_ENTITIES]


def decoded(value: Any, kind: type, name: str) -> Any:
    """A parameter that travels as JSON inside of a form, or as it is in a JSON body."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Refusal(f"can't parse {name} JSON object") from None
    if not isinstance(value, kind):
        raise Refusal(f"can't parse {name}: wrong type")
    return value


def _checked(entity: Any, text: str) -> dict[str, Any]:
    if not isinstance(entity, Mapping) or entity.get("type") not in _TYPES | _AUTOMATIC:
        raise Refusal("can't parse entities: strict: unknown type of entity")
    offset, length = entity.get("offset"), entity.get("length")
    if not isinstance(offset, int) or not isinstance(length, int) or offset < 0:
        raise Refusal("can't parse entities: offset and length must be non-negative numbers")
    if length < 1:
        raise Refusal("ENTITY_BOUNDS_INVALID: strict: an empty entity")
    total = units(text)
    if offset + length > total:
        end = f"ends after the end of the text at UTF-16 offset {total}"
        raise Refusal(f"entity beginning at UTF-16 offset {offset} {end}")
    boundaries, position = {0}, 0
    for character in text:
        position += _wide(character)
        boundaries.add(position)
    if not {offset, offset + length} <= boundaries:
        raise Refusal(f"entity beginning at UTF-16 offset {offset} ends in a middle of a UTF-16 symbol")
    if entity["type"] == "text_link" and not entity.get("url"):
        raise Refusal("can't parse entities: field url must be given")
    return dict(entity)


def _settled(text: str, entities: Sequence[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Cleans and trims the text, and moves the entities with it."""
    kept, moved, old, new = [], {0: 0}, 0, 0
    for character in text:
        clean = _cleaned(character)
        kept.append(clean)
        old += _wide(character)
        new += units(clean)
        moved[old] = new
    cleaned = "".join(kept)
    lead = units(cleaned) - units(cleaned.lstrip(" \n"))
    stripped = cleaned.strip(" \n")
    last = units(stripped)
    result = []
    for entity in entities:
        start = max(moved[entity["offset"]] - lead, 0)
        end = min(moved[entity["offset"] + entity["length"]] - lead, last)
        link_ok = entity["type"] != "text_link" or public_link(entity["url"])
        if start < end and link_ok and entity["type"] not in _AUTOMATIC:
            result.append(entity | {"offset": start, "length": end - start})
    result.sort(key=lambda one: (one["offset"], -one["length"]))
    _check_nesting(result)
    return stripped, result


def _check_nesting(entities: Sequence[Mapping[str, Any]]) -> None:
    """Entities nest or are apart; code and pre hold nothing and stand in quotations alone."""
    quotes, code = {"blockquote", "expandable_blockquote"}, {"code", "pre"}
    for index, outer in enumerate(entities):
        end = outer["offset"] + outer["length"]
        for inner in entities[index + 1 :]:
            if inner["offset"] >= end:
                break
            types = {outer["type"], inner["type"]}
            if inner["offset"] + inner["length"] > end:
                raise Refusal(f"can't parse entities: strict: {sorted(types)} overlap")
            if (types & code and not types & quotes) or types <= quotes or types == {"text_link"}:
                raise Refusal(f"can't parse entities: strict: {sorted(types)} must not nest")


def public_link(url: str) -> bool:
    """Tdlib's `check_link`: a scheme it knows and a host with a dot, or an address."""
    try:
        parts = urlsplit(url if "://" in url or url.startswith("mailto:") else f"http://{url}")
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme in {"tg", "ton", "mailto"}:
        return True
    dotted = "." in host and not host.startswith(".") and not re.search(r"[\s<>\"]|\.\.", host)
    return parts.scheme in {"http", "https"} and (dotted or ":" in host)


def keyboard(value: Any) -> Buttons:
    """The rows of an inline keyboard as stored; an absent or empty one is no keyboard. Raises `Refusal`."""
    markup = decoded(value, dict, "reply markup")
    if not markup or markup.get("force_reply") is True:  # a question: no buttons
        return []
    rows = markup.get("inline_keyboard")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise Refusal("object expected as reply markup: this stand-in knows inline keyboards and questions alone")
    kept = [[_button(button) for button in row] for row in rows]
    if any(len(row) > 8 for row in kept) or sum(map(len, kept)) > 100:
        raise Refusal("REPLY_MARKUP_TOO_LONG")
    return [row for row in kept if row]


def _button(button: Any) -> dict[str, Any]:
    if not isinstance(button, Mapping) or not isinstance(button.get("text"), str):
        raise Refusal('can\'t parse inline keyboard button: Field "text" must be of type String')
    actions = [name for name in _ACTIONS if button.get(name) is not None]
    if not button["text"].strip() or len(actions) != 1:
        raise Refusal("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if "callback_data" in actions and not 1 <= len(str(button["callback_data"]).encode()) <= 64:
        raise Refusal("BUTTON_DATA_INVALID")
    if "url" in actions and not public_link(str(button["url"])):
        raise Refusal(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
    if button.get("style") not in {None, *_STYLES}:
        raise Refusal("BUTTON_STYLE_INVALID")
    return {name: value for name, value in button.items() if value is not None}


class _StrictHtml(HTMLParser):
    """Refuses what the real parser refuses: unknown tags and attributes, tags out of order or left open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.entities: list[dict[str, Any]] = []
        self.open: list[tuple[str, int, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        meaning: dict[str, Any] = {"type": _TAGS.get(tag)}
        if tag == "a":
            meaning = {"type": "text_link", "url": given.get("href", "")}
        elif tag == "blockquote":
            meaning = {"type": "expandable_blockquote" if "expandable" in given else "blockquote"}
        elif tag == "span" and given.get("class") == "tg-spoiler":
            meaning = {"type": "spoiler"}
        elif tag == "code" and given.get("class", "").startswith("language-") and self.open[-1:]:
            self.open[-1][2]["language"] = given["class"].removeprefix("language-")
            meaning = {"type": ""}
        if meaning["type"] is None:
            raise Refusal(f'can\'t parse entities: Unsupported start tag "{tag}" at byte offset {self.getpos()[1]}')
        self.open.append((tag, units(self.text), meaning))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            raise Refusal(f'can\'t parse entities: Unmatched end tag "{tag}"')
        _, start, meaning = self.open.pop()
        if meaning["type"] and units(self.text) > start:
            self.entities.append(meaning | {"offset": start, "length": units(self.text) - start})

    def handle_data(self, data: str) -> None:
        self.text += data


def read_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Text and entities of the Bot API's HTML. Raises `Refusal` for what is not well formed."""
    bare = re.sub(r"</?[a-zA-Z][^<>]*>", "", source)
    if "<" in bare:
        raise Refusal('can\'t parse entities: Unsupported start tag at a lone "<"')
    reader = _StrictHtml()
    reader.feed(source)
    reader.close()
    if reader.open:
        raise Refusal(f"can't parse entities: Can't find end tag corresponding to start tag \"{reader.open[-1][0]}\"")
    return reader.text, reader.entities
