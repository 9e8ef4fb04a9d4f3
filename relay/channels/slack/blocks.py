"""Turns a rendered template into Block Kit blocks that keep every limit of Slack, the undocumented one included.

A template writes lines: `# headline`, `^ small print`, `[label](url)` for a button, `---` for a rule, `--` to begin a new
section; all others are mrkdwn and empty ones nothing. The result is always valid: texts are cut, blocks left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from relay.channels.slack.markup import (
    cut_mrkdwn,
    escape,
    readable,
    shorten,
    unescape,
    units,
    web_address,
    without_broadcasts,
)

MAX_BLOCKS = 50
MAX_HEADER = 150
MAX_SECTION = 3000
MAX_CONTEXT = 10
MAX_ACTIONS = 25
MAX_BUTTON = 75
MAX_TOTAL = 12_000
"""Slack answers `msg_blocks_too_long` near 13,200 characters over all blocks, which it does not document."""
MAX_FALLBACK = 3000

Block = dict[str, Any]
_BUTTON = re.compile(r"\[(.+)\]\((\S+)\)")


def parse_blocks(rendered: str, *, headline: str = "", buttons: bool = True, broadcast: bool = True) -> list[Block]:
    """The blocks of a rendered template.

    Args:
        rendered: the template's lines, as mrkdwn.
        headline: raw text that replaces the template's first headline.
        buttons: False leaves link buttons out.
        broadcast: False turns mentions that call people into plain words.
    """
    lines = (rendered if broadcast else without_broadcasts(rendered)).split("\n")
    blocks: list[Block] = []
    found = [_kind(line) for line in map(str.strip, lines) if line not in ("", "#", "^")]
    for kind, group in groupby(found, key=lambda line: line[0]):
        texts = [text for _, text in group]
        if kind == "header":
            blocks += [_header(headline or unescape(text)) for text in texts[:1] if text or headline]
        elif kind == "context":
            blocks += _contexts(texts)
        elif kind == "button" and buttons:
            blocks += _actions(texts)
        elif kind == "divider":
            blocks.append({"type": "divider"})
        elif kind == "text":
            blocks += [{"type": "section", "text": _mrkdwn(text)} for text in _sections(texts)]
    if headline and not any(block["type"] == "header" for block in blocks):
        blocks.insert(0, _header(headline))
    return fit(blocks)


def fit(blocks: Sequence[Block]) -> list[Block]:
    """The blocks that a message may hold: at most 50, and as many of the first ones as the hidden total allows.

    Link buttons have their place in the budget: without them a long message would lose its way out.
    """
    links = [block for block in blocks if block["type"] == "actions"][:1]
    count, room = MAX_BLOCKS - len(links), MAX_TOTAL - sum(size(block) + 1 for block in links) - 1
    fitting = []
    for block in blocks:
        if links and block is links[0]:
            fitting.append(block)
            continue
        count, room = count - 1, room - size(block) - 1
        if count >= 0 and room >= 0:
            fitting.append(block)
    return fitting


def size(block: Block) -> int:
    """Its share of the hidden total: the characters of its compact JSON."""
    return units(json.dumps(block, ensure_ascii=False, separators=(",", ":")))


def fallback(blocks: Sequence[Block], *, small_print: bool) -> str:
    """What notifications, search and screen readers get: headline and texts without markup, in escaped form.

    The small print belongs to it where the text is the whole message.
    """
    lines = []
    for block in blocks:
        if block["type"] == "header":
            lines.append(escape(block["text"]["text"]))
        elif block["type"] == "section":
            lines.append(readable(block["text"]["text"]))
        elif block["type"] == "context" and small_print:
            lines += [readable(element["text"]) for element in block["elements"]]
    return cut_mrkdwn("\n".join(lines), MAX_FALLBACK)


def _kind(line: str) -> tuple[str, str]:
    if line.startswith("# "):
        return "header", line[2:].strip()
    if line.startswith("^ "):
        return "context", line[2:].strip()
    if line in ("---", "--"):
        return ("divider" if line == "---" else "break"), ""
    return ("button", line) if _BUTTON.fullmatch(line) else ("text", line)


def _header(text: str) -> Block:
    # emoji: False leaves `:fire:` in a label as it is; real emoji show all the same
    return {"type": "header", "text": {"type": "plain_text", "text": _plain(text, MAX_HEADER), "emoji": False}}


def _contexts(texts: Sequence[str]) -> Iterator[Block]:
    for start in range(0, len(texts), MAX_CONTEXT):
        yield {"type": "context", "elements": [_mrkdwn(text) for text in texts[start : start + MAX_CONTEXT] if text]}


def _actions(lines: Sequence[str]) -> Iterator[Block]:
    elements: list[Block] = []
    for line in lines:
        match = _BUTTON.fullmatch(line)
        address = web_address(unescape(match[2])) if match else None
        if match and address and len(elements) < MAX_ACTIONS:
            label = {"type": "plain_text", "text": _plain(unescape(match[1]), MAX_BUTTON), "emoji": False}
            elements.append({"type": "button", "text": label, "url": address, "action_id": f"link-{len(elements)}"})
    if elements:
        yield {"type": "actions", "elements": elements}


def _sections(lines: Sequence[str]) -> Iterator[str]:
    """The lines in as few texts as the limit allows, split between lines."""
    text = ""
    for line in (cut_mrkdwn(whole, MAX_SECTION) for whole in lines):
        if text and units(text) + 1 + units(line) > MAX_SECTION:
            yield text
            text = ""
        text = f"{text}\n{line}" if text else line
    if text:
        yield text


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": cut_mrkdwn(text, MAX_SECTION)}


def _plain(text: str, limit: int) -> str:
    return shorten(text, limit) or "…"
