"""What may be sent to a destination: its own limit and the one that it shares with others of its account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.limits import Limiter


@dataclass(frozen=True, slots=True)
class Budget:
    """Both limits hold. Times are monotonic seconds."""

    destination: Limiter
    account: Limiter
    spare: int = 0
    """So much of the account's limit is left to other destinations."""

    def delay(self, now: float, *, urgent: bool = False, keep: int = 0) -> float:
        """Seconds until one more message; `keep` leaves so many for what matters more."""
        here = self.destination.delay(now, urgent=urgent, keep=keep)
        return max(here, self.account.delay(now, urgent=urgent, keep=keep + self.spare))

    def drain(self, messages: int, now: float) -> float:
        """Seconds until the last of so many messages could be sent; what is beyond `ENOUGH` of them is not counted."""
        counted = min(messages, ENOUGH)
        return max(self.destination.drain(counted, now), self.account.drain(counted, now))

    def take(self, now: float) -> tuple[int, int]:
        return self.destination.take(now), self.account.take(now)

    def settle(self, tickets: tuple[int, int], now: float) -> None:
        self.destination.settle(tickets[0], now)
        self.account.settle(tickets[1], now)

    def recall(self, times: Sequence[float]) -> None:
        """Counts what another relay has sent, or this one before it was started anew."""
        self.destination.recall(times)
        self.account.recall(times)

    def pause(self, until: float) -> None:
        """The platform told the bot to wait with this destination."""
        self.destination.pause(until)


ENOUGH = 500
"""More messages take longer than any storm needs to be seen."""
