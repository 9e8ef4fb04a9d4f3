"""Times in Go's notation by example (`2006-01-02 15:04`), as Alertmanager's `date` takes it."""

from __future__ import annotations

import re
from datetime import datetime

_LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|_2(?!006)|002|0[1-6]|15|PM|pm|[1-5]"
    r"|(?P<zone>[-Z](?:07:00:00|070000|07:00|0700|07))"
    r"|(?P<fraction>[.,](?:0+|9+)(?![0-9]))"
)


def format_go_time(moment: datetime, layout: str) -> str:
    """A time in Go's notation by example: `2006-01-02 15:04:05 -0700 MST`."""

    def piece(found: re.Match[str]) -> str:
        token = found[0]
        if found["zone"]:
            return _go_offset(moment, token)
        if found["fraction"]:
            digits = f"{moment.microsecond:06d}000"[: len(token) - 1]
            shown = digits.ljust(len(token) - 1, "0") if token[1] == "0" else digits.rstrip("0")
            return f"{token[0]}{shown}" if shown else ""
        return _go_field(moment, token)

    return _LAYOUT.sub(piece, layout)


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)


def _go_field(moment: datetime, token: str) -> str:
    month, day, hour = _MONTHS[moment.month - 1], moment.day, moment.hour % 12 or 12
    weekday, day_of_year = _DAYS[moment.weekday()], moment.timetuple().tm_yday
    fields = {
        "January": month,
        "Jan": month[:3],
        "1": f"{moment.month}",
        "01": f"{moment.month:02d}",
        "Monday": weekday,
        "Mon": weekday[:3],
        "2": f"{day}",
        "_2": f"{day:2d}",
        "02": f"{day:02d}",
        "__2": f"{day_of_year:3d}",
        "002": f"{day_of_year:03d}",
        "15": f"{moment.hour:02d}",
        "3": f"{hour}",
        "03": f"{hour:02d}",
        "4": f"{moment.minute}",
        "04": f"{moment.minute:02d}",
        "5": f"{moment.second}",
        "05": f"{moment.second:02d}",
        "2006": f"{moment.year:04d}",
        "06": f"{moment.year % 100:02d}",
        "PM": "PM" if moment.hour >= 12 else "AM",
        "pm": "pm" if moment.hour >= 12 else "am",
        "MST": moment.tzname() or "UTC",
    }
    return fields[token]


def _go_offset(moment: datetime, token: str) -> str:
    delta = moment.utcoffset()
    seconds = int(delta.total_seconds()) if delta else 0
    if token.startswith("Z") and seconds == 0:
        return "Z"
    minutes, rest = divmod(abs(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    digits = token[1:].replace(":", "")
    parts = [f"{hours:02d}", f"{minutes:02d}", f"{rest:02d}"][: len(digits) // 2]
    return ("-" if seconds < 0 else "+") + (":" if ":" in token else "").join(parts)
