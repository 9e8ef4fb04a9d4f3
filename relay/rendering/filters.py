"""Filters with natural names: local times, durations, short texts, links. Those of Alertmanager are in `gofunctions`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

from relay.clock import DAY, HOUR, MINUTE, SECOND, Millis, to_datetime
from relay.rendering.scene import Stage
from relay.text import checked_link, cut, sendable, utf16_len
from relay.text import one_line as text_one_line

_ELLIPSIS = "…"


def natural_filters(stage: Stage) -> dict[str, Callable[..., Any]]:
    """The filters by name. Times are milliseconds since 1970, as notices have them; a missing one becomes an empty text."""
    times = _Times(stage)
    return {
        "at": times.at,
        "ago": times.ago,
        "duration": times.duration,
        "strftime": times.strftime,
        "humanize": humanize,
        "sorted_pairs": sorted_pairs,
        "without": without,
        "link": link,
        "truncate_text": truncate_text,
        "one_line": one_line,
        "lines": lines,
        "fit": fit,
        "as_lines": as_lines,
        "equations": equations,
        "pad": pad,
    }


class _Times:
    """Texts of times in the zone, language and at the moment of the scene."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def at(self, value: Any) -> str:
        """Local time as short as is still true: `03:12` today, `21 Nov 03:12` else, with the year if it is another."""
        moment = self._local(value)
        if moment is None:
            return ""
        today = self._local(self._stage.now.notice.now)
        clock = f"{moment:%H:%M}"
        if today is None or moment.date() == today.date():
            return clock
        months = self._stage.now.texts.gettext("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
        month = months.split()[moment.month - 1]
        year = "" if moment.year == today.year else f" {moment.year}"
        return f"{moment.day} {month}{year} {clock}"

    def ago(self, value: Any) -> str:
        """How long before this rendering, such as `5m ago`: for texts that are never edited later."""
        moment = as_millis(value)
        if moment is None:
            return ""
        length = self._stage.now.notice.now - moment
        if length < MINUTE:
            return self._stage.now.texts.gettext("just now")
        return self._stage.now.texts.gettext("%(duration)s ago") % {"duration": self.duration(length)}

    def duration(self, value: Any) -> str:
        """The two largest units of a length in milliseconds, in the language: `1h 30m`; a negative one is `0s`."""
        if value is None or value == "" or not isinstance(value, int | float):
            return ""
        rest = max(int(value), 0) if math.isfinite(value) else 0
        gettext = self._stage.now.texts.gettext
        parts: list[str] = []
        for size, text in (
            (DAY, gettext("%(n)sd")),
            (HOUR, gettext("%(n)sh")),
            (MINUTE, gettext("%(n)sm")),
            (SECOND, gettext("%(n)ss")),
        ):
            count, rest = divmod(rest, size)
            if parts or count or size == SECOND:
                parts.append(text % {"n": count} if count or not parts else "")
        return " ".join(part for part in parts[:2] if part)

    def strftime(self, value: Any, layout: str = "%Y-%m-%d %H:%M", zone: str | None = None) -> str:
        """Local time in Python's notation; another zone than the channel's can be named."""
        moment = self._local(value, zone)
        return "" if moment is None else moment.strftime(layout)

    def _local(self, value: Any, zone: str | None = None) -> datetime | None:
        moment = as_millis(value)
        return None if moment is None else in_zone(moment, find_zone(zone) if zone else self._stage.now.zone)


def as_millis(value: Any) -> Millis | None:
    """Milliseconds of a time as templates hold it: a number, or a moment in a zone; None for nothing."""
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, int | float) and math.isfinite(value):
        return int(value)
    return None


def in_zone(moment: Millis, zone: ZoneInfo) -> datetime:
    """The local time; at the ends of the calendar, where no other zone fits, UTC."""
    utc = to_datetime(moment)
    try:
        return utc.astimezone(zone)
    except OverflowError:
        return utc


def find_zone(name: str) -> ZoneInfo:
    """The IANA zone; raises `ValueError` that names it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone such as Europe/Moscow") from None


def humanize(value: Any) -> str:
    """A number with four digits and an SI prefix as Prometheus' `humanize`: `1.235M`; what is no number stays as it is."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if number == 0 or not math.isfinite(number):
        return f"{number:.4g}"
    prefix = ""
    if abs(number) >= 1:
        for larger in "kMGTPEZY":
            if abs(number) < 1000:
                break
            prefix, number = larger, number / 1000
    else:
        for smaller in "munpfazy":
            if abs(number) >= 1:
                break
            prefix, number = smaller, number * 1000
    return f"{number:.4g}{prefix}"


def sorted_pairs(mapping: Any) -> list[tuple[str, str]]:
    """Names and values by name, the alertname first, as Alertmanager's `SortedPairs`."""
    if not isinstance(mapping, Mapping):
        return []
    return sorted(mapping.items(), key=lambda pair: (pair[0] != "alertname", pair[0]))


def without(mapping: Any, *names: Any) -> Any:
    """Labels (or a list of pairs) without these names: `labels|without("job", "severity")`, or one list of names."""
    gone = {str(item) for name in names for item in ((name,) if isinstance(name, str) else name)}
    if isinstance(mapping, Mapping):
        return {name: value for name, value in mapping.items() if name not in gone}
    return [pair for pair in mapping or [] if pair[0] not in gone]


def link(text: Any, url: Any) -> Markup:
    """An HTML link; the text alone if the address is none of the web's (`javascript:` never becomes a link)."""
    address = checked_link(str(url))
    if address is None:
        return escape(text)
    return Markup('<a href="{}">{}</a>').format(address, text)


def truncate_text(value: Any, limit: int) -> str:
    """At most this many UTF-16 units, as Telegram counts; a longer text ends with an ellipsis."""
    return cut(str(value), (), limit)[0]


def one_line(value: Any, limit: int | None = None) -> str:
    """Line ends, tabs and runs of blanks as one blank, control and direction characters dropped; cut at a limit."""
    text = str(value)
    if text.isascii() and text.isprintable() and (limit is None or len(text) <= limit):
        return " ".join(text.split())  # most labels: spares the slow look at each character
    if limit is None:
        return " ".join(sendable(text).split())
    return text_one_line(text[: limit * 8], limit)  # no more than can be shown: spares work on megabytes


def lines(value: Any, count: int, limit: int) -> str:
    """At most so many lines that are not empty, all in all within the limit of UTF-16 units."""
    found = [line for line in (one_line(part) for part in str(value)[: limit * 8].splitlines()) if line]
    text = "\n".join(found[:count])
    return truncate_text(text if len(found) <= count else f"{text}{_ELLIPSIS}", limit)


def fit(values: Iterable[Any], limit: int) -> list[str]:
    """The first of these texts that fit into the limit of UTF-16 units when each is a line of its own."""
    fitting: list[str] = []
    for value in values:
        text = str(value)
        limit -= utf16_len(text) + 1
        if limit < 0:
            break
        fitting.append(text)
    return fitting


def as_lines(pairs: Iterable[tuple[str, str]], name_limit: int, value_limit: int) -> list[str]:
    """`name: value` of each pair, both shortened."""
    return [f"{one_line(name, name_limit)}: {one_line(value, value_limit)}" for name, value in pairs]


def equations(mapping: Any, limit: int) -> str:
    """Labels as `name=value`, sorted and on one line, within the limit; values with blanks in quotes."""
    parts = (
        f'{name}="{value}"' if " " in value or not value else f"{name}={value}" for name, value in sorted_pairs(mapping)
    )
    return one_line(" ".join(parts), limit)


def pad(value: Any, width: int) -> str:
    """The text with blanks up to this width, for columns of plain text."""
    return str(value).ljust(min(width, 200))
