"""Whether a destination shows each incident in a message of its own, or a storm of them in a digest."""

from __future__ import annotations

from dataclasses import dataclass

from relay.clock import MINUTE, SECOND, Millis

ENTER: Millis = 10 * SECOND
"""A backlog that takes longer than that to tell is a storm."""
LEAVE: Millis = 3 * SECOND
CALM_FOR: Millis = 2 * MINUTE
"""A storm is over when the backlog has stayed below `LEAVE` for so long."""
ENDED_FOR: Millis = 20 * SECOND
"""Enough after the last of it has ended: what fires next has to do with something else, and is to ring."""
FEWEST = 4
"""Fewer posts than that are no storm, however long they wait: a digest of them would not come sooner."""
MOST_OWN = 5
OWN_ONCE_IN: Millis = 10 * MINUTE
"""Of a storm's critical incidents so many have messages of their own in so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """A storm that is on. `own` messages have gone to critical incidents since `own_since`.

    `ended_at`: when the last of it did; None while something of it fires.
    """

    calm_since: Millis | None = None
    ended_at: Millis | None = None
    own: int = 0
    own_since: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a destination has to tell: posts that must announce something, now."""

    posts: int
    now: Millis
    storm: Storm | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be sent: how long it takes until the last post of the backlog has had its message."""

    drained_in: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """There is a digest: quiet since `calm_since`, and so many critical incidents may still have messages of their own."""

    calm_since: Millis | None
    own: int


def plan_destination(backlog: Backlog, budget: Allowance) -> Digest | None:
    """The digest that this backlog asks for; None for none, or for the end of the one there is."""
    if backlog.storm is None:
        if backlog.posts < FEWEST or budget.drained_in <= ENTER:
            return None
        return Digest(calm_since=None, own=MOST_OWN)
    calm_since = backlog.storm.calm_since
    if budget.drained_in >= LEAVE:
        calm_since = None
    elif calm_since is None or calm_since > backlog.now:  # the clock was set back
        calm_since = backlog.now
    if calm_since is not None and _is_over(calm_since, backlog.storm.ended_at, backlog.now):
        return None
    return Digest(calm_since=calm_since, own=own_left(backlog.storm, backlog.now))


def _is_over(calm_since: Millis, ended_at: Millis | None, now: Millis) -> bool:
    ended = ended_at is not None and now - max(calm_since, ended_at) >= ENDED_FOR
    return ended or now - calm_since >= CALM_FOR


def own_left(storm: Storm, now: Millis) -> int:
    """How many critical incidents of the storm may still have messages of their own now."""
    fresh = storm.own_since is None or not 0 <= now - storm.own_since < OWN_ONCE_IN
    return MOST_OWN if fresh else max(MOST_OWN - storm.own, 0)
