"""What to do after a failed call: whose pause, how long, or give up. Values in, values out."""

from __future__ import annotations

import random
from dataclasses import dataclass

from relay.clock import MINUTE, SECOND, Millis
from relay.notification import DeliveryError

BASE: Millis = SECOND
LONGEST: Millis = 30 * SECOND
LONGEST_POST: Millis = 5 * MINUTE
LONGEST_ASKED: Millis = 15 * MINUTE
"""A single post is put off no longer, whatever its platform asks for: what is due later than that counts as due."""
PERMANENT_PROBE: Millis = 5 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a failure: a pause of the destination, a wait of the post, or the post's end.

    A post that is `dead` by its age leaves a destination that still fails: that has its `pause`, too.
    """

    pause: Millis | None = None  # the whole destination waits so long, then one post probes
    post_wait: Millis | None = None  # this post alone waits so long
    dead: bool = False
    expired: bool = False  # dead of its age: trying again could have helped
    plain: bool = False  # send it without markup from now on
    forget: bool = False  # the living message is gone: send a new one, without sound


def decide(
    error: DeliveryError, *, attempts: int, failures: int, age: Millis, max_age: Millis, plain: bool, rng: random.Random
) -> Decision:
    """The judgement on one failed call.

    Args:
        error: what the channel made of it.
        attempts: how often this post has failed in a row, this time included.
        failures: how often this destination has failed in a row, this time included.
        age: since when the post is behind.
        max_age: older posts become dead letters, but never before their destination was tried.
        plain: whether the failed content was already without markup.
        rng: for full jitter.
    """
    too_old = age >= max_age
    if error.reason == "moved":
        return Decision(post_wait=0)
    if error.reason == "gone":
        return Decision(post_wait=0, forget=True)
    if error.scope == "destination":
        return Decision(pause=_pause(error, failures, rng), dead=too_old, expired=too_old)
    if error.reason in ("unparsable", "too_large") and not plain:
        return Decision(post_wait=0, plain=True)
    if error.permanent or error.reason in ("unparsable", "too_large"):
        return Decision(dead=True)
    if too_old:
        return Decision(dead=True, expired=True)
    asked = _asked(error)
    return Decision(post_wait=jitter(attempts, LONGEST_POST, rng) if asked is None else min(asked, LONGEST_ASKED))


def _pause(error: DeliveryError, failures: int, rng: random.Random) -> Millis:
    asked = _asked(error)
    if asked is not None:
        return asked
    return PERMANENT_PROBE if error.permanent else jitter(failures, LONGEST, rng)


def _asked(error: DeliveryError) -> Millis | None:
    """How long the platform told us to wait; "at once" after a failure is no answer, we would knock without a pause."""
    return int(error.retry_after * SECOND) if error.retry_after else None


def jitter(attempts: int, longest: Millis, rng: random.Random) -> Millis:
    """Full jitter: anything between a tenth of a second and the exponential bound, so that a herd spreads out."""
    bound = min(longest, BASE * 2 ** min(attempts, 20))
    return max(int(rng.uniform(0, bound)), 100)
