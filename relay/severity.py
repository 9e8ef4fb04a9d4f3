"""One scale for every sender: critical > error > warning > info.

Senders call severities what they like; the config maps their label values to these four (`docs/reference/config.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum


class Severity(IntEnum):
    """Comparable, so that "raised" and "most severe first" are plain comparisons."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @property
    def label(self) -> str:
        return self.name.lower()


DEFAULT_LEVELS: Mapping[str, Sequence[str]] = {
    "critical": ("page", "emergency", "fatal", "disaster", "crit"),
    "error": ("high", "major"),
    "warning": ("warn", "medium"),
    "info": ("notice", "low", "none", "debug"),
}


@dataclass(frozen=True, slots=True)
class SeverityMap:
    """Which label holds the severity and what its values mean; case does not matter."""

    label: str = "severity"
    levels: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(DEFAULT_LEVELS))

    def of(self, labels: Mapping[str, str]) -> Severity:
        """The alert's severity; a missing or unknown value is a warning, never silently harmless."""
        value = labels.get(self.label, "").strip().lower()
        for severity in Severity:
            if value == severity.label or value in self.levels.get(severity.label, ()):
                return severity
        return Severity.WARNING
