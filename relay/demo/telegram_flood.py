"""How fast the stand-in for the Bot API lets a bot send: the limits of Telegram's own FAQ, made hard."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.demo.telegram_chats import Chat, Refusal


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True, kw_only=True)
class Floods:
    """One message per second and chat after a short burst, 20 a minute per group, 30 a second in all."""

    clock: Callable[[], float]
    enabled: bool = True
    burst: int = 3
    per_second: float = 1.0
    per_minute: int = 20
    overall: int = 30
    refused: int = 0
    _buckets: dict[int, _Bucket] = field(default_factory=dict)
    _minutes: defaultdict[int, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _second: deque[float] = field(default_factory=deque)

    def take(self, chat: Chat) -> None:
        """Counts one message; raises the `Refusal` 429 with the seconds to wait, which then counts for nothing."""
        if not self.enabled:
            return
        now = self.clock()
        bucket = self._buckets.setdefault(chat.id, _Bucket(self.burst, now))
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.per_second)
        bucket.at = now
        waits = [(1 - bucket.tokens) / self.per_second, _wait(self._second, self.overall, 1.0, now)]
        if chat.kind != "private":
            waits.append(_wait(self._minutes[chat.id], self.per_minute, 60.0, now))
        if (wait := max(waits)) > 0:
            self.refused += 1
            seconds = max(1, math.ceil(wait))
            raise Refusal(f"Too Many Requests: retry after {seconds}", code=429, parameters={"retry_after": seconds})
        bucket.tokens -= 1
        self._second.append(now)
        self._minutes[chat.id].append(now)


def _wait(times: deque[float], most: int, window: float, now: float) -> float:
    while times and times[0] <= now - window:
        times.popleft()
    return times[len(times) - most] + window - now if len(times) >= most else 0.0
