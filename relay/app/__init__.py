"""The composition root: builds everything in one straight line, starts it, and stops it."""

from __future__ import annotations

from relay.app.process import run
from relay.app.relay import Relay, Seams

__all__ = ["Relay", "Seams", "run"]
