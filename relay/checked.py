"""What a platform says when it is asked whether a channel would work, and which failures are over then."""

from __future__ import annotations

from dataclasses import dataclass

from relay.notification import Reason

_OF_A_TEXT: frozenset[Reason] = frozenset({"rejected", "unparsable", "too_large", "gone"})
ANSWERED: frozenset[Reason] = _OF_A_TEXT | {"connection", "timeout", "server_error", "rate_limited"}
KNOWN: frozenset[Reason] = ANSWERED | {"unauthorized"}
"""What is over when a platform answers as it should, and when it knows us. That it refused one text speaks for it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Nothing that could be asked speaks against sending.

    Args:
        said: one line for people.
        rules_out: the reasons of failures that are over, since the asking would have met them.
    """

    said: str
    rules_out: frozenset[Reason] = frozenset()
