"""Silences: composing, previewing, making and ending them for people, and mirroring acks as short ones."""

from __future__ import annotations

from relay.silencing.mirror import ACK_PREFIX, AckMirror
from relay.silencing.silencer import Choice, Plan, Preview, Silencer, Standing, choices_of, silence_code

__all__ = [
    "ACK_PREFIX",
    "AckMirror",
    "Choice",
    "Plan",
    "Preview",
    "Silencer",
    "Standing",
    "choices_of",
    "silence_code",
]
