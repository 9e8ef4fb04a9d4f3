"""What one rendering knows besides its template: the notice, language, time zone, and how much work it may still do."""

from __future__ import annotations

import gettext
import threading
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from relay.notification import Notice

STEPS = 2_000_000
"""Turns of loops, calls and filters of one rendering: a list of 5,000 alerts takes a tenth of it."""

TEXT_LIMIT = 1_000_000
"""Characters of one rendering, where the notice's alerts do not ask for more."""

TEXT_PER_ALERT = 10_000
"""The built-in body of an `http` channel has all labels and annotations of each."""


class TooMuchWork(Exception):
    """A template loops for too long or makes too much text."""


@dataclass(slots=True)
class Budget:
    """Counts down what a template does: deterministic where a stop watch would depend on the machine's load."""

    steps: int = STEPS
    text: int = TEXT_LIMIT

    def step(self, cost: int = 1) -> None:
        self.steps -= cost
        if self.steps < 0:
            raise TooMuchWork(f"more than {STEPS:,} steps: does a loop never end?")

    def check_size(self, size: int) -> None:
        if size > self.text:
            raise TooMuchWork(f"a text of more than {self.text:,} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The surroundings of one rendering."""

    notice: Notice
    language: str
    zone: ZoneInfo
    texts: gettext.NullTranslations
    budget: Budget = field(default_factory=Budget)


class Stage(threading.local):
    """Holds the scene that this thread renders.

    Filters find it here and not in the template's context, since macros that are imported have no context.
    """

    scene: Scene | None = None

    @property
    def now(self) -> Scene:
        if self.scene is None:
            raise RuntimeError("a filter was called outside of a rendering")
        return self.scene
