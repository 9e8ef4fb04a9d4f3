"""When each digest is to be looked at again: one that needs nothing now, and of which nothing new is known, can wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from relay.clock import SECOND, Millis
from relay.planning import Later

LOOK_AGAIN = 300.0
"""Seconds: so often a digest of which no change is known is compared with the state all the same."""
LOOK_ONCE_IN = 1.0
"""Seconds: one that needed nothing a moment ago is not compared again for each message that comes in."""


class _Rest(NamedTuple):
    """Monotonic times."""

    if_changed: float
    otherwise: float


class DigestRests:
    """Of the digests of one destination, by their ids."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._rests: dict[int, _Rest] = {}
        self._next_look = math.inf

    @property
    def left(self) -> float:
        """Seconds until the first of those that were asked for in this turn."""
        return max(self._next_look - self._monotonic(), 0.0)

    def begin_turn(self, alive: Collection[int]) -> None:
        """Only these digests are still to be served."""
        self._rests = {digest_id: rest for digest_id, rest in self._rests.items() if digest_id in alive}
        self._next_look = math.inf

    def are_over(self, digest_id: int, *, changed: bool, not_before: float) -> bool:
        """Whether it is to be looked at now."""
        rest = self._rests.get(digest_id, _Rest(0.0, 0.0))
        look_at = max(rest.if_changed if changed else rest.otherwise, not_before)
        self.put_off(look_at)
        return self._monotonic() >= look_at

    def put_off(self, look_at: float) -> None:
        """One is to be looked at then, whatever its rest."""
        self._next_look = min(self._next_look, look_at)

    def begin(self, digest_id: int, step: Later | None, now: Millis, *, appending: bool) -> None:
        """It needs nothing, or nothing before the time of `step`."""
        wait = min((step.at - now) / SECOND, LOOK_AGAIN) if step is not None else LOOK_AGAIN
        soonest = wait if appending and step is not None else min(wait, LOOK_ONCE_IN)
        monotonic = self._monotonic()
        self._rests[digest_id] = _Rest(if_changed=monotonic + soonest, otherwise=monotonic + wait)

    def end(self, digest_id: int) -> None:
        """There may be something to do for it at once."""
        self._rests.pop(digest_id, None)
