"""Slack's rules for messages, as its servers apply them: which blocks, fields and lengths pass, and who gets called.

Written apart from the channel's own limits on purpose: a slip in the one is caught by the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

MAX_BLOCKS = 50
MAX_TOTAL = 13_200
"""Undocumented: near so many characters over all blocks comes `msg_blocks_too_long` (slackapi/bolt-js#2509)."""
MAX_TEXT = 40_000

Problems = list[str]
Check = Callable[[Any, str], Problems]

_MENTION = re.compile(r"<(![^>^]*|@[^>]*|#[^>]*)>")
_LINK = re.compile(r"<(https?:|mailto:)[^<>\s]*(\|[^<>]*)?>")
_DATE = re.compile(r"<!date\^-?\d+\^[^<>|]*\{\w+\}[^<>|]*\|[^<>]*>")
_ENTITY = re.compile(r"&(amp|lt|gt);")


def length(text: str) -> int:
    """UTF-16 units: Slack does not say what it counts, this is the most that a character can weigh in its clients."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def block_problems(blocks: object) -> Problems:
    """What is wrong with a message's blocks, in Slack's way of naming places; empty when they pass."""
    if not isinstance(blocks, list):
        return ["must be an array [json-pointer:/blocks]"]
    problems = [f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]"] if len(blocks) > MAX_BLOCKS else []
    ids = [block["block_id"] for block in blocks if isinstance(block, dict) and "block_id" in block]
    if len(ids) != len(set(map(str, ids))):
        problems.append("block_id must be unique [json-pointer:/blocks]")
    for index, block in enumerate(blocks):
        problems += _block(block, f"/blocks/{index}")
    return problems


def total(blocks: Sequence[Any]) -> int:
    """What the hidden limit counts, as near as is known: the characters of the blocks as compact JSON."""
    return length(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")))


def markup_problems(text: str) -> Problems:
    """Angle brackets and ampersands that are no link, date, mention or entity: values that were not escaped."""
    rest = _ENTITY.sub("", _LINK.sub("", _DATE.sub("", _MENTION.sub("", text))))
    return [f"stray {mark!r} in {rest[:80]!r}" for mark in "<>&" if mark in rest]


def mentions(message: Mapping[str, Any]) -> list[str]:
    """Whom or what a message calls: `!channel`, `@U123`, `#C123`. Dates and links call nobody."""
    texts = [str(message.get("text", ""))] + [
        text["text"] for text in _texts(message.get("blocks")) if _is_mrkdwn(text)
    ]
    return [found for text in texts for found in _MENTION.findall(text)]


def mrkdwn_texts(blocks: object) -> list[str]:
    """Every text of the blocks that Slack formats."""
    return [text["text"] for text in _texts(blocks) if _is_mrkdwn(text)]


def shown(message: Mapping[str, Any]) -> str:
    """What a person reads, one line per piece: markup resolved, values as they were before escaping."""
    lines = [
        _resolved(text["text"]) if _is_mrkdwn(text) else str(text["text"]) for text in _texts(message.get("blocks"))
    ]
    return "\n".join(lines) if lines else _resolved(str(message.get("text", "")))


def _resolved(text: str) -> str:
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<(?:https?:|mailto:)[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<((?:https?:|mailto:)[^>]*)>", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _is_mrkdwn(text: Mapping[str, Any]) -> bool:
    return text.get("type") == "mrkdwn"


def _texts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") in ("mrkdwn", "plain_text") and isinstance(value.get("text"), str):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _block(block: Any, at: str) -> Problems:
    if not isinstance(block, dict):
        return [f"must be an object [json-pointer:{at}]"]
    fields = _BLOCKS.get(str(block.get("type")))
    if fields is None:
        return [f"unsupported type: {block.get('type')} [json-pointer:{at}/type]"]
    problems = _object(block, at, fields, always={"type": None, "block_id": _string(255)})
    if block["type"] == "section" and "text" not in block and "fields" not in block:
        problems.append(f"missing required field: text or fields [json-pointer:{at}]")
    return problems


def _object(
    value: Any, at: str, fields: Mapping[str, tuple[bool, Check]], always: Mapping[str, Check | None]
) -> Problems:
    problems = [
        f"invalid additional property: {name} [json-pointer:{at}]" for name in value if name not in {*fields, *always}
    ]
    for name, (required, check) in fields.items():
        if name in value:
            problems += check(value[name], f"{at}/{name}")
        elif required:
            problems.append(f"missing required field: {name} [json-pointer:{at}]")
    for name, free_check in always.items():
        if name in value and free_check is not None:
            problems += free_check(value[name], f"{at}/{name}")
    return problems


def _string(most: int) -> Check:
    def check(value: Any, at: str) -> Problems:
        if not isinstance(value, str):
            return [f"must be a string [json-pointer:{at}]"]
        if not value:
            return [f"must be more than 0 characters [json-pointer:{at}]"]
        return [f"must be less than {most + 1} characters [json-pointer:{at}]"] if length(value) > most else []

    return check


def _address(value: Any, at: str) -> Problems:
    problems = _string(3000)(value, at)
    if not problems:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or re.search(r"[\s<>\"]", value):
            problems.append(f"invalid url [json-pointer:{at}]")
    return problems


def _boolean(value: Any, at: str) -> Problems:
    return [] if isinstance(value, bool) else [f"must be a boolean [json-pointer:{at}]"]


def _one_of(*allowed: str) -> Check:
    return lambda value, at: [] if value in allowed else [f"must be one of {allowed} [json-pointer:{at}]"]


def _text(most: int, *kinds: str) -> Check:
    def check(value: Any, at: str) -> Problems:
        if not isinstance(value, dict):
            return [f"must be an object [json-pointer:{at}]"]
        kind = str(value.get("type"))
        if kind not in kinds:
            return [f"must be one of {kinds} [json-pointer:{at}/type]"]
        extra: dict[str, tuple[bool, Check]] = {"text": (True, _string(most))}
        extra["emoji" if kind == "plain_text" else "verbatim"] = (False, _boolean)
        return _object(value, at, extra, always={"type": None})

    return check


def _list(most: int, check_item: Check) -> Check:
    def check(value: Any, at: str) -> Problems:
        if not isinstance(value, list) or not value:
            return [f"must be a list of at least one item [json-pointer:{at}]"]
        problems = [f"no more than {most} items allowed [json-pointer:{at}]"] if len(value) > most else []
        ids = [item["action_id"] for item in value if isinstance(item, dict) and "action_id" in item]
        if len(ids) != len(set(map(str, ids))):
            problems.append(f"action_id already exists for another element [json-pointer:{at}]")
        for index, item in enumerate(value):
            problems += check_item(item, f"{at}/{index}")
        return problems

    return check


def _element(*kinds: str) -> Check:
    def check(value: Any, at: str) -> Problems:
        if not isinstance(value, dict):
            return [f"must be an object [json-pointer:{at}]"]
        kind = str(value.get("type"))
        if kind not in kinds:
            return [f"unsupported type: {kind} [json-pointer:{at}/type]"]
        if kind in ("mrkdwn", "plain_text"):
            return _text(3000, kind)(value, at)
        return _object(value, at, _ELEMENTS[kind], always={"type": None})

    return check


_ANY = ("mrkdwn", "plain_text")
_ELEMENTS: Mapping[str, Mapping[str, tuple[bool, Check]]] = {
    "button": {
        "text": (True, _text(75, "plain_text")),
        "action_id": (False, _string(255)),
        "url": (False, _address),
        "value": (False, _string(2000)),
        "style": (False, _one_of("primary", "danger")),
        "accessibility_label": (False, _string(75)),
    },
    "image": {"image_url": (True, _address), "alt_text": (True, _string(2000))},
}
_BLOCKS: Mapping[str, Mapping[str, tuple[bool, Check]]] = {
    "header": {"text": (True, _text(150, "plain_text"))},
    "section": {
        "text": (False, _text(3000, *_ANY)),
        "fields": (False, _list(10, _text(2000, *_ANY))),
        "accessory": (False, _element("button", "image")),
        "expand": (False, _boolean),
    },
    "divider": {},
    "context": {"elements": (True, _list(10, _element(*_ANY, "image")))},
    "actions": {"elements": (True, _list(25, _element("button")))},
    "image": {
        "image_url": (True, _address),
        "alt_text": (True, _string(2000)),
        "title": (False, _text(2000, "plain_text")),
    },
    "markdown": {"text": (True, _string(12_000))},
}
