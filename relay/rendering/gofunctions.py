"""Alertmanager's template functions under their own names, with Go's results where Python's would differ.

Source of the rules: Alertmanager's `template/template.go` and Go's `strings`, `regexp`, `time` and `encoding/json`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import re2
from markupsafe import Markup

from relay.clock import SECOND
from relay.rendering.filters import as_millis, find_zone, in_zone
from relay.rendering.gotime import format_go_time
from relay.rendering.scene import Stage

_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# A word as Unicode's word boundaries find it in names: a dot, colon or apostrophe between letters does not end it.
_WORD = re.compile(r"\w+(?:(?<=[^\W\d_])[.:'’·․‧](?=[^\W\d_])\w+|(?<=\d)[.,'](?=\d)\w+)*")
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>\w+)\}|(?P<name>\w+))")
_JSON_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class GoDuration(float):
    """Seconds that print as Go prints a `time.Duration`: `1h2m3.5s`."""

    def __str__(self) -> str:
        nanoseconds = round(abs(self) * 1e9)
        sign = "-" if self < 0 else ""
        if nanoseconds == 0:
            return "0s"
        if nanoseconds < 10**9:
            unit, size = next(
                (unit, size) for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)) if nanoseconds >= size
            )
            return f"{sign}{_decimal(nanoseconds, size)}{unit}"
        minutes, rest = divmod(nanoseconds, 60 * 10**9)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(rest, 10**9)}s"
        if hours or minutes:
            text = f"{minutes}m{text}"
        return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if digits else str(whole)


def go_filters(stage: Stage) -> dict[str, Callable[..., Any]]:
    """The functions as filters: what Alertmanager's take last is what is piped in."""

    def local(value: Any) -> datetime | None:
        if isinstance(value, datetime):
            return value
        moment = as_millis(value)
        return None if moment is None else in_zone(moment, stage.now.zone)

    def date(value: Any, layout: str) -> str:
        moment = local(value)
        return "" if moment is None else format_go_time(moment, layout)

    def tz(value: Any, zone: str) -> datetime | str:
        moment = as_millis(value)
        return "" if moment is None else in_zone(moment, find_zone(zone))

    def since(value: Any) -> GoDuration | str:
        moment = as_millis(value)
        return "" if moment is None else GoDuration((stage.now.notice.now - moment) / SECOND)

    return {
        "date": date,
        "tz": tz,
        "since": since,
        "toUpper": to_upper,
        "toLower": to_lower,
        "title": title,
        "match": match,
        "reReplaceAll": replace_all,
        "safeHtml": Markup,
        "safeUrl": str,  # an address is escaped in an attribute even when it is trusted
        "trimSpace": lambda text: str(text).strip(_GO_SPACE),
        "humanizeDuration": humanize_duration,
        "toJson": to_json,
        "urlUnescape": lambda text: unquote_plus(str(text)),
        "append": append,
    }


def go_globals(stage: Stage) -> dict[str, Callable[..., Any]]:
    """The functions that make something of nothing or of many arguments."""
    return {
        "now": lambda: stage.now.notice.now,
        "dict": make_dict,
        "list": lambda *items: list(items),
        "stringSlice": lambda *items: [str(item) for item in items],
        "append": append,
    }


def to_upper(text: Any) -> str:
    """Character by character, so that `straße` becomes `STRAßE`."""
    return "".join(_one(character, character.upper(), character.title()) for character in str(text))


def to_lower(text: Any) -> str:
    """Character by character."""
    return "".join(character.lower()[:1] for character in str(text))


def _one(character: str, *candidates: str) -> str:
    return next((candidate for candidate in candidates if len(candidate) == 1), character)


def title(text: Any) -> str:
    """Each word with a capital and the rest small, as `cases.Title(language.AmericanEnglish)`."""
    return _WORD.sub(lambda word: _title_word(word[0]), str(text))


def _title_word(word: str) -> str:
    """The first letter that has a capital gets it, be it behind digits: `2Nd`."""
    small = word.lower()
    for position, character in enumerate(word):
        if character.title() != character or character.lower() != character:
            return small[:position] + character.title() + small[position + 1 :]
    return small


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"{pattern[:100]!r} is no RE2 pattern: {error}") from None


def match(text: Any, pattern: str) -> bool:
    """Whether the RE2 pattern is found anywhere in the text: it is not anchored."""
    return _compile(pattern).search(str(text)) is not None


def replace_all(text: Any, pattern: str, replacement: str) -> str:
    """Every match of the RE2 pattern replaced; `$1` and `${name}` are groups, `$1x` is the group named `1x`."""
    subject = str(text)
    parts, end = [], 0
    last = -1
    for found in _compile(pattern).finditer(subject):
        if found.start() == found.end() == last:  # Go ignores an empty match right behind another
            continue
        parts += [subject[end : found.start()], _expand(replacement, found)]
        end = last = found.end()
    return "".join([*parts, subject[end:]])


def _expand(replacement: str, found: Any) -> str:
    names = found.re.groupindex

    def group(reference: re.Match[str]) -> str:
        if reference["dollar"]:
            return "$"
        name = reference["braced"] or reference["name"]
        number = int(name) if name.isdecimal() and len(name) < 4 else names.get(name, -1)
        return (found.group(number) or "") if 0 <= number <= found.re.groups else ""

    return _REFERENCE.sub(group, replacement)


def humanize_duration(value: Any) -> str:
    """Seconds as `1d 2h 3m 4s`, below one as `1.5ms`; what is no number stays as it is."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return str(value)
    if not math.isfinite(seconds):
        return f"{seconds:.4g}"
    if abs(seconds) >= 1:
        sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
        minutes, rest = divmod(whole, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        if days:
            return f"{sign}{days}d {hours}h {minutes}m {rest}s"
        if hours:
            return f"{sign}{hours}h {minutes}m {rest}s"
        return f"{sign}{minutes}m {rest}s" if minutes else f"{sign}{abs(seconds):.4g}s"
    prefix = ""
    for smaller in "munpfazy":
        if seconds == 0 or abs(seconds) >= 1:
            break
        prefix, seconds = smaller, seconds * 1000
    return f"{seconds:.4g}{prefix}s"


def to_json(value: Any) -> str:
    """JSON as Go writes it: compact, keys sorted, `<`, `>` and `&` escaped."""
    plain = dict(value) if isinstance(value, Mapping) else value
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)
    return "".join(_JSON_ESCAPES.get(character, character) for character in text)


def make_dict(*pairs: Any, **named: Any) -> dict[Any, Any]:
    """`dict("a", 1, "b", 2)` as in Alertmanager, and `dict(a=1)` as in Jinja2."""
    if len(pairs) == 1:
        return dict(pairs[0], **named)
    if len(pairs) % 2:
        raise ValueError("dict takes names and values in turn")
    return dict(zip(pairs[::2], pairs[1::2], strict=True)) | named


def append(items: Iterable[Any], *more: Any) -> list[Any]:
    """A new list with more items at its end."""
    return [*items, *more]
