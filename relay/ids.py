"""Row ids that any process can make for itself, and the short codes people type."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from functools import lru_cache

from relay.clock import Clock, Millis

LARGEST_ID = 2**63 - 1
_ORIGIN: Millis = 1_577_836_800_000  # 2020-01-01; 41 bits of milliseconds last until 2089
_ALPHABET = "abcdefghijkmnpqrstuvwxyz"  # without l and o, which read as 1 and 0
_PAIRS = tuple(second + first for first in _ALPHABET for second in _ALPHABET)
CODE_LENGTH = 5


def make_ids(clock: Clock, rng: random.Random) -> Callable[[], int]:
    """Gives time-ordered 63-bit integers: milliseconds, 10 random bits for this process, 12 of a counter.

    Made by the client, so that rows which point at each other can be written set-wise, without asking the database for keys.
    """
    return _count(clock, rng.getrandbits(10)).__next__


def _count(clock: Clock, process: int) -> Iterator[int]:
    last, counter = 0, 0
    while True:
        now = max(clock() - _ORIGIN, last)  # a clock set back must not repeat an id
        counter = counter + 1 if now == last else 0
        if counter >= 1 << 12:
            now, counter = now + 1, 0
        last = now
        yield now << 22 | process << 12 | counter


def first_id(at: Millis) -> int:
    """Below every id that was made at that time or later: what was made before is found by its primary key."""
    return max(at - _ORIGIN, 0) << 22


def alert_code(alertmanager: str, fingerprint: str) -> str:
    """What people type for an alert, and what finds its row: the same for ever."""
    return short_code(alertmanager, fingerprint)


def group_code(alertmanager: str, receiver: str, key_hash: str) -> str:
    """What people type for an alert group, and what finds its row: the same for ever."""
    return "g" + short_code(alertmanager, receiver, key_hash)


def button_code(*parts: str) -> str:
    """What a button names a thing by that nobody types: ten letters, which no two things of this world share."""
    return short_code(*parts) + short_code(*parts, "once more")


@lru_cache(maxsize=4096)
def short_code(*parts: str) -> str:
    """Five letters that stand for the named thing: the same for the same parts, rarely shared by two (1 in 8 million)."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()[:8])
    number, first = divmod(number, len(_PAIRS))
    number, second = divmod(number, len(_PAIRS))
    return _PAIRS[first] + _PAIRS[second] + _ALPHABET[number % len(_ALPHABET)]
