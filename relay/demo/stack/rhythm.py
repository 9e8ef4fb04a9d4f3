"""The shipped rules and Alertmanager's config at a quick pace: what takes minutes, hours or days there takes seconds.

Days cannot shrink like minutes, or a mean of seven days would need hours. So a minute becomes a second, nothing is shorter
than 3 s or, below a day, longer than 15 s, and a day becomes 20 s. Thresholds, labels and texts stay as they are.
"""

from __future__ import annotations

import re

from relay.clock import DAY, MINUTE, SECOND, Millis
from relay.durations import parse_duration

INTERVAL = "1s"
"""Of scrapes and evaluations: the shortest range, 5 m, still holds five samples."""
_PER_MINUTE: Millis = SECOND
_SHORTEST: Millis = 3 * SECOND
"""Three evaluations: one late scrape is no outage, and what inhibits an alert is known before the alert is told."""
_LONGEST: Millis = 15 * SECOND
_PER_DAY: Millis = 20 * SECOND
_DURATION = r"\d+[smhdwy]"
# Durations stand in PromQL in brackets, alone or as range and step of a subquery, and behind `offset`.
_IN_RULES = re.compile(
    rf"(?<=\[){_DURATION}(?=[\]:])|(?<=:){_DURATION}(?=\])|(?<=\boffset ){_DURATION}\b|(?<=\bfor: ){_DURATION}\b"
)
_IN_ROUTES = re.compile(rf"(?<=\bgroup_wait: ){_DURATION}\b|(?<=\bgroup_interval: ){_DURATION}\b")


def quicken(length: Millis) -> Millis:
    """How long this length lasts at the quick pace; whole days stay in their proportion to each other."""
    if length >= DAY:
        return length * _PER_DAY // DAY
    return min(max(length * _PER_MINUTE // MINUTE, _SHORTEST), _LONGEST) if length else 0


def quicken_rules(text: str) -> str:
    """A rules file with other ranges, offsets and `for`s."""
    return _IN_RULES.sub(_quicker, text)


def quicken_routes(text: str) -> str:
    """Alertmanager's config that waits less. `repeat_interval` stays: a repeat rings, and would again every few seconds."""
    return _IN_ROUTES.sub(_quicker, text)


def _quicker(found: re.Match[str]) -> str:
    return f"{quicken(parse_duration(found[0]))}ms"
