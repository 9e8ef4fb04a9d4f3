"""Decodes a large JSON list without holding the event loop: item by item, in slices of a few milliseconds.

`json.loads` of 20,000 alerts holds the interpreter for 100 ms and more, in a thread just as well.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

_SLICE = 0.008  # seconds of work between two looks at the event loop
_PIECE = 1024 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")
_NEXT = ",{"

Item = TypeVar("Item")


async def decode_list(body: bytes, read: Callable[[Any], Item], *, slice_seconds: float = _SLICE) -> tuple[Item, ...]:
    """The list in `body`, each item passed through `read`; raises `ValueError` if it is no JSON list."""
    text = await _text(body)
    now = asyncio.get_running_loop().time
    decode = json.JSONDecoder().raw_decode
    if text.startswith("null", _skip(text, 0)):  # Go's empty slice
        return ()
    at = _after(text, 0, "[")
    items: list[Item] = []
    pause_at = now() + slice_seconds
    if text[at : at + 1] == "]":
        return ()
    while True:
        said, at = decode(text, at)
        items.append(read(said))
        if text[at : at + 2] == _NEXT:  # as Alertmanager writes it
            at += 1
        else:
            at = _skip(text, at)
            if text[at : at + 1] == "]":
                return tuple(items)
            at = _after(text, at, ",")
        if now() >= pause_at:
            await asyncio.sleep(0)
            pause_at = now() + slice_seconds


async def _text(body: bytes) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = []
    for start in range(0, len(body), _PIECE):
        pieces.append(decoder.decode(body[start : start + _PIECE]))
        await asyncio.sleep(0)
    return "".join([*pieces, decoder.decode(b"", final=True)])


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    assert blank is not None  # the pattern fits anywhere
    return blank.end()


def _after(text: str, at: int, expected: str) -> int:
    """Where the next token begins behind the expected character."""
    at = _skip(text, at)
    if text[at : at + 1] != expected:
        raise ValueError(f"{expected!r} is expected at character {at}")
    return _skip(text, at + 1)
