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

    def __str__(self) -> str:
        """What a template that says `{{ severity }}` means."""
        return self.label


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

    _meanings: dict[str, Severity] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Configured words go before a level's own name; of a word in two levels the more severe one holds."""
        self._meanings.update((severity.label, severity) for severity in Severity)
        for severity in Severity:
            words = self.levels.get(severity.label, ())
            self._meanings.update((word.strip().lower(), severity) for word in words)

    def of(self, labels: Mapping[str, str]) -> Severity:
        """The alert's severity; a missing or unknown value is a warning, never silently harmless."""
        return self._meanings.get(labels.get(self.label, "").strip().lower(), Severity.WARNING)
