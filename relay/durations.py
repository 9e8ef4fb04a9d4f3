"""How durations and sizes are written: Prometheus' `1h30m` and the usual `64MiB`, both ways."""

from __future__ import annotations

import re

from relay.clock import DAY, HOUR, MINUTE, SECOND, Millis

_UNITS: tuple[tuple[str, Millis], ...] = (
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", HOUR),
    ("m", MINUTE),
    ("s", SECOND),
    ("ms", 1),
)
# Prometheus (`model/time.go` ParseDuration): every unit at most once, from large to small.
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+){unit})?" for unit, _ in _UNITS))
_LONGEST: Millis = (2**63 - 1) // 1_000_000  # Go counts nanoseconds in 64 bits
_SIZE = re.compile(r"(?P<number>[0-9]{1,15}) ?(?P<unit>[KMG]i?B|B)?")
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_duration(text: str) -> Millis:
    """Milliseconds of a duration in Prometheus' syntax; `0` needs no unit. Raises `ValueError` that says what is allowed."""
    written = text.strip()
    if written == "0":
        return 0
    found = _DURATION.fullmatch(written)
    if not written or found is None:
        raise ValueError(
            f"{text[:40]!r} is no duration: write numbers with the units y, w, d, h, m, s, ms, "
            "each at most once and from large to small, such as 90s, 1h30m or 7d"
        )
    # 20 digits are beyond any allowed duration in any unit, and keep int() from refusing thousands of digits.
    parts = ((found[unit], length) for unit, length in _UNITS if found[unit])
    total = sum(int(number.lstrip("0")[:20] or "0") * length for number, length in parts)
    if total > _LONGEST:
        raise ValueError(f"{text[:40]!r} is too long: at most {_LONGEST // (365 * DAY)}y")
    return total


def format_duration(length: Millis) -> str:
    """The two largest units of a duration, cut not rounded: `1h30m`, `45s`, `2w3d`; a negative one is `0s`.

    The second unit is the next smaller one only, so that `1d` never hides behind `1d5s`. Milliseconds show below a second.
    """
    if length <= 0:
        return "0s"
    for position, (unit, size) in enumerate(_UNITS):
        if length < size:
            continue
        first, rest = divmod(length, size)
        text = f"{first}{unit}"
        if size <= SECOND:
            return text
        smaller, smaller_size = _UNITS[position + 1]
        second = rest // smaller_size
        return f"{text}{second}{smaller}" if second else text
    return "0s"


def parse_size(text: str) -> int:
    """Bytes of `64MiB`, `10 MB` or `512`. Raises `ValueError` that says what is allowed."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text[:40]!r} is no size: write a whole number with B, KB, MB, GB, KiB, MiB or GiB, such as 64MiB"
        )
    return int(found["number"]) * _BYTES[found["unit"] or "B"]
